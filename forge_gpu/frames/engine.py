"""The engine of library users: `render`, `deduplicate`, `split` and `check` on frames.

What kind of frame goes in comes out. The rules are those of `prepare`, and so are the results on the same
rows: the same texts, the same survivors, the same splits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal

import numpy as np

from forge_gpu.config import schema
from forge_gpu.config.schema import Config
from forge_gpu.dedup.exact import duplicates
from forge_gpu.engine.base import Engine
from forge_gpu.engine.lazy import text_over
from forge_gpu.errors import ConfigError, InputError
from forge_gpu.fates import Fate, Reason
from forge_gpu.fates import name as spelled
from forge_gpu.frames.base import Bools, Frame, Frames, Series
from forge_gpu.frames.blocks import Columns, blocks, records_of, sample
from forge_gpu.frames.settings import check_config, check_settings, render_config
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I64, PADDING, U8, U64, Spans, Text
from forge_gpu.quality.checks import REASONS
from forge_gpu.quality.checks import check as run_checks
from forge_gpu.split import exact, threshold
from forge_gpu.split.fractions import Splits
from forge_gpu.templates.choose import make_renderer
from forge_gpu.templates.lines import Composer, column_key
from forge_gpu.templates.program import pack
from forge_gpu.templates.renderer import Bound, plain_spans
from forge_gpu.templates.validate import nearest

WORKING_BYTES = 256 * 2**20
"""What decisions may take beside the keys; no result depends on it."""

SPLITS = (Fate.TRAIN, Fate.VALIDATION, Fate.TEST)
MALFORMED = "malformed"


@dataclass(frozen=True)
class Rendered:
    """One block: its texts, empty where a row is refused; why rows are; and a line on each of those."""

    text: Text
    reason: U8
    detail: Callable[[int], str]


class FrameEngine(Generic[Frame, Series]):
    """Made by `forge_gpu.open_engine`. Holds buffers, so it belongs to one thread at a time.

    Columns may be of any type that has a JSON form: text is text, null is null, and every other value stands
    for its JSON text, as in a file of JSON lines (objects without white space, dates in ISO 8601). Names of
    columns must be strings and unique. No method changes the frame it is given.
    """

    def __init__(self, engine: Engine, frames: Frames[Frame, Series]) -> None:
        self._engine = engine
        self._frames = frames

    @property
    def name(self) -> str:
        """`cpu` or `gpu`."""
        return self._engine.name

    def render(
        self,
        frame: Frame,
        template: str | Path | Config,
        *,
        mapping: Mapping[str, Any] | schema.Mapping | None = None,
        append_eos: bool = False,
    ) -> Series:
        """The text of each row: a series named "text" with the frame's index; null where a row is refused.

        template: a built-in's name; a format string over columns, such as "{question}\\n{answer}"; a chat
        template, spelled out, in a file, or of a model's folder; or a plan's Config, with all its settings.
        mapping: keys of `data.mapping`, e.g. {"query": "q", "response": "a"} or {"messages": "chat"}; what it
        leaves out is not used. Without one the columns are recognised as `plan` does, by up to 200 rows.
        append_eos: end each text with the end-of-sequence token of the built-in. A chat template that writes
        the date gets today's; a Config has its own. A frame without rows gives none, whatever the template.

        A row is refused for the reasons that `prepare` rejects it for before its checks: a field that is
        null, bytes that are no UTF-8, no conversation, a text that is empty, or the template says no.
        `reasons` tells which. Raises TemplateError, ConfigError, InputError; TypeError for what is no frame.
        """
        pieces = self._rendered(frame, template, mapping, append_eos)
        return self._frames.texts(frame, "text", ((piece.text, piece.reason == 0) for piece in pieces))

    def reasons(
        self,
        frame: Frame,
        template: str | Path | Config,
        *,
        mapping: Mapping[str, Any] | schema.Mapping | None = None,
        append_eos: bool = False,
    ) -> Series:
        """Why `render` refuses rows: a series named "reason" with the frame's index; null where it renders.

        Each is a name of `fates.Reason`, with a line of detail where there is more to say:
        "null_field: 'answer' is null". Arguments and errors are those of `render`.
        """
        pieces = self._rendered(frame, template, mapping, append_eos)
        return self._frames.texts(frame, "reason", map(_told, pieces))

    def duplicate_of(self, frame: Frame, columns: str | Sequence[str] | None = None) -> Series:
        """The position, from 0, of the first row that each row repeats: a series of integers named
        "duplicate_of", null for rows that repeat none. Columns and errors are those of `deduplicate`."""
        first = self._duplicates(frame, columns)
        return self._frames.numbers(frame, "duplicate_of", np.maximum(first, 0), first >= 0)

    def deduplicate(
        self,
        frame: Frame,
        columns: str | Sequence[str] | None = None,
        keep: Literal["first", "last"] = "first",
    ) -> Frame:
        """The rows that repeat no other, with their index and in their order.

        Rows are equal when the text of each of `columns` is (all of them by default), by its XXH3-128. As in
        `dedup.key` of a plan, null equals the empty text and the number 1 the text "1". A plan's default key
        is the rendered text: deduplicate by that column, and the label's if there is one. keep: which of
        equal rows stays. Raises InputError for a column that is not there.
        """
        if keep not in ("first", "last"):
            raise ConfigError(f"keep is {keep!r}: choose first or last")
        first = self._duplicates(frame, columns, backwards=keep == "last")
        return self._frames.take(frame, np.flatnonzero(first < 0))

    def split(
        self,
        frame: Frame,
        train: float = 0.9,
        validation: float = 0.1,
        test: float = 0.0,
        *,
        columns: str | Sequence[str] | None = None,
        stratify: str | None = None,
        seed: int = 42,
        mode: Literal["exact", "threshold"] = "exact",
    ) -> dict[str, Frame]:
        """The rows as frames named train, validation and test, with their index and in their order.

        A row's place hangs on its key, the texts of `columns` (all by default), the seed, and its position
        where keys are equal. So it is the split that `prepare` gives to the same rows, deduplicated, with
        `dedup.key` the same columns; and for its default key with the rendered text, and then the label's
        column if there is one. exact: ⌊n·f + ½⌋ rows of each in total, and within one row of its share in
        every stratum, the rows whose column `stratify` has one text. threshold: sizes are only near the
        fractions, but adding rows moves no other. Drop duplicates before: equal rows can be parted.

        Raises ConfigError for fractions that do not add up to 1, InputError for a column that is not there.
        """
        sizes = _sizes(train, validation, test, seed)
        if mode not in ("exact", "threshold"):
            raise ConfigError(f"mode is {mode!r}: choose exact or threshold")
        if mode == "threshold" and stratify is not None:
            raise ConfigError("mode threshold keeps no shares of strata: leave stratify out, or use exact")
        hashes = self._hashes(frame, self._columns(frame, columns))
        live = np.ones(len(hashes), np.bool_)
        if mode == "threshold":
            fates = threshold.assign(hashes, live, sizes, int(seed))
        else:
            stratum = None if stratify is None else self._strata(frame, stratify)
            fates = exact.assign(stratum, hashes, live, sizes, int(seed), WORKING_BYTES)
        return {spelled(fate): self._frames.take(frame, np.flatnonzero(fates == fate)) for fate in SPLITS}

    def check(
        self,
        frame: Frame,
        columns: str | Sequence[str] | None = None,
        *,
        mapping: Mapping[str, Any] | schema.Mapping | None = None,
        max_length: int | None = None,
        **settings: Any,
    ) -> Frame:
        """Which rows fail which quality checks: a frame of booleans with the same index, a column a check.

        By default rows are what `mapping` says (see `render`), and each check looks at the fields it is
        about (see `quality.checks`), as in `prepare`. columns: texts to look at one by one instead, by every
        check. max_length: tokens; without it there is no column too_long. settings: those of `quality_checks`
        in a plan; a check that is "off" has no column, and warn and reject are one here. The first column,
        malformed, is true for rows that no check can judge: a field that is null or absent, no conversation,
        bytes that are no UTF-8. Raises ConfigError, InputError.
        """
        if columns is not None and mapping is not None:
            raise ConfigError("name columns or a mapping, not both")
        checks = check_settings(settings)
        wanted = [name for name in REASONS if getattr(checks, name) != "off"]
        if max_length is None and "too_long" in wanted:
            wanted.remove("too_long")
        checks = checks.model_copy(update=dict.fromkeys(wanted, "warn"))
        rows = self._frames.rows(frame)
        failed = {name: np.zeros(rows, np.bool_) for name in (MALFORMED, *wanted)}
        texts = self._texts(frame, mapping) if columns is None else self._texts_of(frame, columns)
        start = 0
        for malformed, found in texts:
            here = slice(start, start + len(malformed))
            start = here.stop
            failed[MALFORMED][here] = malformed
            for fields in found:
                warned = run_checks(fields, checks, max_length, self._engine).warned
                for name in wanted:
                    failed[name][here] |= warned[REASONS[name]]
        return self._frames.flags(frame, failed)

    def _rendered(
        self,
        frame: Frame,
        template: str | Path | Config,
        mapping: Mapping[str, Any] | schema.Mapping | None,
        append_eos: bool,
    ) -> Iterator[Rendered]:
        names = self._frames.columns(frame)
        if not self._frames.rows(frame):
            return
        rows = partial(sample, self._frames, self._engine, frame, names)
        renderer = make_renderer(render_config(template, mapping, append_eos, names, rows))
        composer = Composer(("text",), lambda programs: programs[0])
        for columns in self._blocks(frame, renderer.columns):
            bound = renderer.bind(records_of(self._engine, columns), self._engine)
            yield self._render(bound, composer)

    def _render(self, bound: Bound, composer: Composer) -> Rendered:
        reason = bound.reason.copy()
        chosen = np.flatnonzero(reason == Reason.NONE)
        lengths = np.zeros(len(reason), np.int64)
        text = Text(np.zeros(PADDING, np.uint8), np.zeros(1, np.int64))
        if len(chosen):
            table, program = composer.table(bound)
            columns = [bound.columns[name] for name in table.columns]
            text = self._engine.render(table, program, columns, chosen, layout.AS_TEXT, bound.first)
            lengths[chosen] = np.diff(text.offsets)
            reason[chosen[lengths[chosen] == 0]] = Reason.EMPTY_TEXT
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        return Rendered(text_over(text, offsets), reason, bound.detail)

    def _texts(
        self, frame: Frame, mapping: Mapping[str, Any] | schema.Mapping | None
    ) -> Iterator[tuple[Bools, list[dict[str, Spans]]]]:
        """For each block the rows that are malformed, and the texts of the others by role."""
        names = self._frames.columns(frame)
        if not self._frames.rows(frame):
            return
        rows = partial(sample, self._frames, self._engine, frame, names)
        renderer = make_renderer(check_config(mapping, names, rows))
        for columns in self._blocks(frame, renderer.columns):
            bound = renderer.bind(records_of(self._engine, columns), self._engine)
            yield bound.reason != Reason.NONE, [bound.texts]

    def _texts_of(
        self, frame: Frame, columns: str | Sequence[str]
    ) -> Iterator[tuple[Bools, list[dict[str, Spans]]]]:
        """For each block the rows with a null or a text that is no UTF-8, and each column on its own."""
        for spans in self._blocks(frame, self._columns(frame, columns)):
            records = records_of(self._engine, spans)
            malformed = np.zeros(len(records), np.bool_)
            for column in records.columns.values():
                malformed |= column.kind < layout.PLAIN
            yield malformed, [{"text": column} for column in records.columns.values()]

    def _duplicates(self, frame: Frame, columns: str | Sequence[str] | None, backwards: bool = False) -> I64:
        """The row that each row repeats, -1 where it is the first of its kind (or the last: backwards)."""
        hashes = self._hashes(frame, self._columns(frame, columns))
        live = np.ones(len(hashes), np.bool_)
        if not backwards:
            return duplicates(hashes, live, WORKING_BYTES, self._engine.first_occurrence)
        reverse = np.ascontiguousarray(hashes[::-1])
        found = duplicates(reverse, live, WORKING_BYTES, self._engine.first_occurrence)[::-1]
        return np.where(found < 0, -1, len(found) - 1 - found)

    def _hashes(self, frame: Frame, columns: Sequence[str]) -> U64:
        """The 128-bit key of each row: uint64[n, 2]."""
        hashes = np.zeros((self._frames.rows(frame), 2), np.uint64)
        table = pack([column_key(columns)])
        start = 0
        for block in self._blocks(frame, columns):
            spans = [block[name] for name in table.columns]
            rows = np.arange(len(spans[0]))
            program = np.zeros(len(rows), np.int32)
            keys = self._engine.render(table, program, spans, rows, layout.AS_JSON)
            hashes[start : start + len(rows)] = self._engine.hash128(keys)
            start += len(rows)
        return hashes

    def _strata(self, frame: Frame, column: str) -> U64:
        names = self._columns(frame, column)
        found = [
            self._engine.hash64(self._engine.text(block[column]), 0).copy()
            for block in self._blocks(frame, names)
        ]
        return np.concatenate([np.zeros(0, np.uint64), *found])

    def _blocks(self, frame: Frame, columns: Sequence[str]) -> Iterator[Columns]:
        return blocks(self._frames, frame, columns)

    def _columns(self, frame: Frame, columns: str | Sequence[str] | None) -> tuple[str, ...]:
        """The columns that are meant. Raises InputError where one is not there, or there are none."""
        known = self._frames.columns(frame)
        wanted = known if columns is None else (columns,) if isinstance(columns, str) else tuple(columns)
        if not wanted:
            raise InputError("the frame has no columns" if columns is None else "name at least one column")
        for name in wanted:
            if name not in known:
                near = nearest(str(name), known)
                hint = f"did you mean {near!r}?" if near else f"there are {', '.join(known) or 'none'}"
                raise InputError(f"no column is named {name!r}; {hint}")
        return wanted


def _sizes(train: float, validation: float, test: float, seed: int) -> Splits:
    given = {"train": train, "validation": validation, "test": test}
    for name, fraction in given.items():
        if not 0 <= fraction <= 1:
            raise ConfigError(f"{name} is {fraction!r}: it must be from 0 to 1")
    if abs(sum(given.values()) - 1) > 1e-9:
        told = ", ".join(f"{name}={fraction:g}" for name, fraction in given.items())
        raise ConfigError(f"the fractions must add up to 1, not {sum(given.values()):g}: {told}")
    if not 0 <= seed < 2**63:
        raise ConfigError(f"seed is {seed!r}: it must be from 0 to 2**63 - 1")
    return Splits(float(train), float(validation), float(test))


def _told(piece: Rendered) -> tuple[Text, Bools]:
    """The reasons of a block as texts."""
    lines: list[bytes | None] = [None] * len(piece.reason)
    for row in np.flatnonzero(piece.reason).tolist():
        detail = piece.detail(row)
        lines[row] = (spelled(Reason(int(piece.reason[row]))) + (detail and f": {detail}")).encode()
    spans = plain_spans(lines)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(spans.length)])
    return Text(spans.data, offsets), piece.reason != 0
