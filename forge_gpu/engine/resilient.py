"""An engine that goes on: work that does not fit is halved, an engine that fails is replaced by the CPU's.

Every call is a pure function of its arguments, so doing it again in parts, or on the other engine, gives the
same bytes. What has been asked of the failed engine before and is still on its device is made again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from forge_gpu.engine import halving, marked
from forge_gpu.engine.base import Engine, RowGroups
from forge_gpu.engine.halving import out_of_memory
from forge_gpu.engine.held import HeldChunk
from forge_gpu.engine.lazy import LazySpans, LazyText, here
from forge_gpu.engine.marked import Unmarked
from forge_gpu.errors import ForgeError, InputError
from forge_gpu.kernels.arrays import Arrays
from forge_gpu.kernels.layout import I32, I64, U8, U64, Messages, ProgramTable, Records, Spans, Text
from forge_gpu.kernels.reference.minhash import Signing
from forge_gpu.kernels.reference.shingles import U32
from forge_gpu.kernels.reference.statistics import Judged
from forge_gpu.kernels.reference.union import F64
from forge_gpu.plain import mutable

if TYPE_CHECKING:
    from forge_gpu.kernels.cpu.vm_rows import Machine, Rendered

Result = TypeVar("Result")


def no_rows(rows: int) -> None:
    """Hears of a halving and does nothing."""


def no_reason(reason: str) -> None:
    """Hears of a failure and does nothing."""


@mutable
class Health:
    """What happened to the engines of one run: shared by those of all threads.

    halvings: calls that did not fit and were done in halves. rows_on_cpu: rows that did not fit alone.
    failure: why the engine was given up, None while it works.
    """

    halvings: int = 0
    rows_on_cpu: int = 0
    failure: str | None = None
    on_halved: Callable[[int], None] = no_rows
    on_fell_back: Callable[[str], None] = no_reason

    def __post_init__(self) -> None:
        self._lock = Lock()

    def halved(self, rows: int) -> None:
        with self._lock:
            self.halvings += 1
            self.on_halved(rows)

    def went_to_cpu(self, rows: int) -> None:
        with self._lock:
            self.rows_on_cpu += rows

    def failed(self, error: BaseException) -> None:
        with self._lock:
            if self.failure is None:
                self.failure = f"{type(error).__name__}: {str(error).strip() or 'no message'}".splitlines()[0]
                logging.getLogger(__name__).debug("the engine failed", exc_info=error)
                self.on_fell_back(self.failure)


class ResilientEngine:
    """See `engine.base.Engine`. `fast` does the work while it can, `safe` what it cannot."""

    def __init__(self, fast: Engine, safe: Engine, health: Health) -> None:
        self._fast = fast
        self._safe = safe
        self._health = health

    @property
    def name(self) -> str:
        return self._safe.name if self._health.failure else self._fast.name

    def scan(self, data: U8, form: str, keys: Sequence[str], max_row_bytes: int) -> Records:
        return self._call(lambda engine: engine.scan(data, form, keys, max_row_bytes))

    def pin(self, memory: bytearray) -> Callable[[], None]:
        return self._call(lambda engine: engine.pin(memory))

    def hold(self, key: Hashable, records: Records, note: Any, host_room: int) -> None:
        if not self._health.failure:
            self._fast.hold(key, records, note, host_room)

    def held(self, key: Hashable) -> HeldChunk | None:
        return None if self._health.failure else self._fast.held(key)

    def take_up(self, chunk: HeldChunk, again: Callable[[BaseException], U8]) -> Records:
        def instead(error: BaseException) -> U8:
            self._health.failed(error)
            return again(error)

        return self._fast.take_up(chunk, instead)

    def messages(self, column: Spans, roles: Sequence[str], role_key: str, content_key: str) -> Messages:
        return self._call(lambda engine: engine.messages(column, roles, role_key, content_key))

    def text(self, column: Spans) -> Text:
        def part(rows: slice) -> Text:
            return self.text(column.part(rows))

        return self._text(lambda engine: engine.text(column), len(column), part)

    def render(
        self,
        table: ProgramTable,
        program: I32,
        columns: Sequence[Spans],
        rows: I64,
        encoding: int,
        first: I64 | None = None,
    ) -> Text:
        def part(of_rows: slice) -> Text:
            arguments = halving.part_of_render(table, program, columns, rows, first, of_rows)
            some, spans, chosen, begin = arguments
            return self.render(table, some, spans, chosen, encoding, begin)

        def whole(engine: Engine) -> Text:
            return engine.render(table, program, columns, rows, encoding, first)

        return self._text(whole, len(rows), part)

    def run_code(self, machine: Machine, columns: Sequence[Spans], rows: I64) -> Rendered:
        def part(of_rows: slice) -> Rendered:
            chosen = rows[of_rows]
            low, high = int(chosen.min()), int(chosen.max()) + 1
            some = [column.part(slice(low, high)) for column in columns]
            return halving.joined_rendered([self.run_code(machine, some, chosen - low)])

        def instead(lost: LazySpans, error: BaseException) -> U8:
            self._health.failed(error)
            texts = halving.joined_rendered([self._safe.run_code(machine, columns, rows)]).text
            return texts.data[lost.begin : lost.begin + lost.size]

        made = self._call(
            lambda engine: engine.run_code(machine, columns, rows), len(rows), part, halving.joined_rendered
        )
        if not isinstance(made.text, LazySpans):
            return made
        return replace(made, text=made.text.guarded(instead))

    def keep(self, text: Text) -> Text:
        return here(text) or self._in_use.keep(text)

    def own(self, text: Text) -> Text:
        return here(text) or self._in_use.own(text)

    @property
    def _in_use(self) -> Engine:
        return self._safe if self._health.failure else self._fast

    def release_result(self) -> None:
        self._safe.release_result()
        self._fast.release_result()

    def hash128(self, text: Text) -> U64:
        def part(rows: slice) -> U64:
            return self.hash128(halving.part_of_text(text, rows))

        return self._call(lambda engine: engine.hash128(text), len(text), part, np.concatenate)

    def hash64(self, text: Text, seed: int) -> U64:
        def part(rows: slice) -> U64:
            return self.hash64(halving.part_of_text(text, rows), seed)

        return self._call(lambda engine: engine.hash64(text, seed), len(text), part, np.concatenate)

    def band_hashes(self, text: Text, signing: Signing) -> U64:
        def part(rows: slice) -> U64:
            return self.band_hashes(halving.part_of_text(text, rows), signing)

        return self._call(lambda engine: engine.band_hashes(text, signing), len(text), part, np.concatenate)

    def unmark(self, text: Text) -> Unmarked:
        def part(rows: slice) -> Unmarked:
            return self.unmark(halving.part_of_text(text, rows))

        return self._call(lambda engine: engine.unmark(text), len(text), part, marked.joined)

    def judge(self, column: Spans, limit: float | None) -> Judged:
        def part(rows: slice) -> Judged:
            return self.judge(column.part(rows), limit)

        return self._call(
            lambda engine: engine.judge(column, limit), len(column), part, halving.joined_judged
        )

    def valid_utf8(self, column: Spans) -> U8:
        def part(rows: slice) -> U8:
            return self.valid_utf8(column.part(rows))

        return self._call(lambda engine: engine.valid_utf8(column), len(column), part, np.concatenate)

    def parquet_texts(self, row_groups: RowGroups) -> tuple[int, dict[str, Spans] | None]:
        count = len(row_groups.groups)
        if self._health.failure:
            return count, None
        try:
            done, texts = self._fast.parquet_texts(row_groups)
            result = row_groups.part(slice(0, done))
            return done, texts and {name: self._kept_at_hand(result, name, texts[name]) for name in texts}
        except Exception as error:
            if not out_of_memory(error):
                if _can_be_read(row_groups):
                    self._health.failed(error)
                return count, None
        # Outside of the handler, so that the error's frames no longer hold what was allocated.
        if count == 1:
            self._health.went_to_cpu(sum(row_groups.rows))
            return count, None
        self._health.halved(sum(row_groups.rows))
        return self.parquet_texts(row_groups.part(halving.halves(count)[0]))

    def first_occurrence(self, hashes: U64, live: U8) -> I64:
        return self._call(lambda engine: engine.first_occurrence(hashes, live), len(live))

    def shared_shingles(
        self, texts: Sequence[Text], pairs: I64, kind: int, n: int, fold: U32
    ) -> tuple[I64, I64] | None:
        return self._or_none(lambda engine: engine.shared_shingles(texts, pairs, kind, n, fold))

    def united(
        self, parent: I64, partner: I64, nearest: F64, pairs: I64, similarity: F64
    ) -> tuple[I64, I64, F64] | None:
        return self._or_none(lambda engine: engine.united(parent, partner, nearest, pairs, similarity))

    def decided(self, work: Callable[[Arrays], Result], rows: int) -> Result:
        return self._call(lambda engine: engine.decided(work, rows), rows)

    def memory(self) -> int:
        return self._safe.memory() + (0 if self._health.failure else self._fast.memory())

    def _kept_at_hand(self, row_groups: RowGroups, name: str, column: Spans) -> Spans:
        """A decoded column whose bytes the host decodes when they are lost with the device."""
        if not isinstance(column, LazySpans):
            return column

        def instead(lost: LazySpans, error: BaseException) -> U8:
            self._health.failed(error)
            return row_groups.text_bytes(name)[lost.begin : lost.begin + lost.size]

        return column.guarded(instead)

    def _or_none(self, call: Callable[[Engine], Result | None]) -> Result | None:
        """A call that the caller can do without: None where it does not fit, or the engine fails."""
        if self._health.failure:
            return None
        try:
            return call(self._fast)
        except Exception as error:
            if not out_of_memory(error):
                self._health.failed(error)
            return None

    def _text(self, whole: Callable[[Engine], Text], rows: int, part: Callable[[slice], Text]) -> Text:
        """A call that makes a text: its bytes are still to be had when the engine fails before they are."""
        made = self._call(whole, rows, partial(_kept, part), halving.joined_texts)
        if not isinstance(made, LazyText):
            return made
        return made.guarded(lambda: self._fetched(made, whole))

    def _fetched(self, made: LazyText, whole: Callable[[Engine], Text]) -> U8:
        try:
            return made.data
        except Exception as error:
            self._health.failed(error)
            return halving.joined_texts([whole(self._safe)]).data  # what was fetched is the caller's for good

    def _call(
        self,
        whole: Callable[[Engine], Result],
        rows: int = 1,
        part: Callable[[slice], Result] | None = None,
        join: Callable[[Sequence[Any]], Result] | None = None,
    ) -> Result:
        if self._health.failure:
            return whole(self._safe)
        try:
            return whole(self._fast)
        except (ValueError, ForgeError):
            raise  # of the data, not of the engine
        except Exception as error:
            if not out_of_memory(error):
                self._health.failed(error)
                return whole(self._safe)
        # Outside of the handler, so that the error's frames no longer hold what was allocated.
        if part is None or join is None or rows <= 1:
            self._health.went_to_cpu(rows)
            return whole(self._safe)
        self._health.halved(rows)
        first, second = halving.halves(rows)
        return join([_own(part(first)), part(second)])


def _can_be_read(row_groups: RowGroups) -> bool:
    """Whether the host can decode the columns: if not, the file is at fault, and the host will say how."""
    try:
        for column in row_groups.columns:
            row_groups.text_bytes(column)
    except InputError:
        return False
    return True


def _kept(part: Callable[[slice], Text], rows: slice) -> Text:
    """A part's text in memory of its own: the next part may use the engine's buffers again."""
    return halving.joined_texts([part(rows)])


def _own(result: Result) -> Result:
    """A result in memory of its own, where the engine may use that of its arrays again."""
    if isinstance(result, Judged):
        return halving.joined_judged([result])  # type: ignore[return-value]
    return result.copy() if isinstance(result, np.ndarray) else result
