"""What an engine asks of a frame library. One file holds all that is particular to one: `pandas_frames.py`,
`cudf_frames.py`.

Arrays are numpy's. A text that comes from an engine may lie on its device until its bytes are asked for, and
so may a column that goes to one (`engine.lazy`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from forge_gpu.errors import InputError
from forge_gpu.kernels.layout import I64, Spans, Text

if TYPE_CHECKING:
    from forge_gpu.frames.lists import Lists

Bools = npt.NDArray[np.bool_]

Frame = TypeVar("Frame")
Series = TypeVar("Series", covariant=True)

FRAME = "frame.jsonl"
"""The name of a frame in messages and in the ledger."""


class Frames(Protocol[Frame, Series]):
    """The frames of one library. Every result has the index of the frame that it was made for."""

    def opened(self, frame: Any) -> Any:
        """The frame itself, or one that can be read again and again of what can be read once."""

    def columns(self, frame: Frame) -> tuple[str, ...]:
        """Names of the columns. Raises TypeError for what is no frame of this library, InputError where
        names are no strings or not unique."""

    def rows(self, frame: Frame) -> int: ...

    def spans(self, frame: Frame, column: str, start: int, stop: int) -> Spans:
        """The values of rows start ... stop - 1, without a copy where the frame holds Arrow text: text is
        PLAIN, null NULL, any other value JSON. A value with no UTF-8 is PLAIN with bytes that are none.
        Raises InputError, with the column's name, for values that have no JSON form."""

    def lists(self, frame: Frame, column: str, start: int, stop: int) -> Lists | None:
        """Rows start ... stop - 1 of a column of lists of records of texts that lies on a device; None of all
        other columns."""

    def is_text(self, frame: Frame, column: str) -> bool:
        """Whether each value is a text or null, by the type of the column, and lies on the host."""

    def objects(self, frame: Frame, column: str, start: int, stop: int) -> list[Any] | None:
        """The same values as Python has them; None where they cannot be had so."""

    def take(self, frame: Frame, rows: I64) -> Frame:
        """Rows by position, which rises."""

    def mapped(self, frame: Frame, make: Callable[[Any], Any]) -> Any:
        """What `make` makes of the frame, row by row: of each partition where it has some, when that is
        asked for."""

    def texts(self, frame: Frame, name: str, pieces: Iterable[tuple[Text, Bools]]) -> Series:
        """A series of text: the rows of all pieces, null where not valid. Text on the host has memory of its
        own; what lies on a device is copied before the next piece is asked for. All of it is UTF-8."""

    def strings(self, frame: Frame, name: str, values: list[str]) -> Series:
        """As `texts`, of texts as Python has them."""

    def numbers(self, frame: Frame, name: str, values: I64, valid: Bools) -> Series:
        """A series of integers, null where not valid."""

    def of_arrow(self, frame: Frame, table: Any) -> Frame:
        """An Arrow table as a frame of the same kind, with an index of its own."""

    def made(self, frame: Frame, columns: Mapping[str, Any]) -> Frame:
        """A frame of arrays of booleans, or of series that were made for the frame."""


def named(index: Any) -> tuple[str, ...]:
    """The names of a frame's columns. index: pandas', as cuDF has them too. Raises InputError."""
    return unique(list(index))


def unique(names: list[Any]) -> tuple[str, ...]:
    """The names of columns, as they are. Raises InputError."""
    odd = next((name for name in names if not isinstance(name, str)), None)
    if odd is not None:
        raise InputError(f"column {odd!r} has a name that is no string; rename it")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"several columns are named {twice!r}; rename all but one")
    return tuple(names)


def kind_of(frame: object) -> str:
    """What something is that was given for a frame, as in pandas.DataFrame."""
    return f"{library_of(frame)}.{type(frame).__qualname__}"


def library_of(frame: object) -> str:
    """The package that something's type comes from."""
    return type(frame).__module__.partition(".")[0]
