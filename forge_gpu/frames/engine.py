"""The engine of library users: `render`, `deduplicate`, `split` and `check` on frames.

What kind of frame goes in comes out. The rules are those of `prepare`, and so are the results on the same
rows: the same texts, the same survivors, the same splits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, Self, TypeVar

import numpy as np

from forge_gpu.config import schema
from forge_gpu.config.schema import Config
from forge_gpu.dedup.exact import duplicates
from forge_gpu.engine.choose import EngineFactory
from forge_gpu.errors import ConfigError, InputError
from forge_gpu.fates import Fate
from forge_gpu.fates import name as spelled
from forge_gpu.frames import rendering
from forge_gpu.frames.base import Bools, Frame, Frames, Series
from forge_gpu.frames.blocks import LEAST_ROWS, Columns, Rows, block_bytes, blocks, ranges
from forge_gpu.frames.judging import MALFORMED, Fields, by_role, judged, one_by_one
from forge_gpu.frames.keys import keys_of, texts_hashed
from forge_gpu.frames.rendering import Recipe
from forge_gpu.frames.sampling import Sample
from forge_gpu.frames.settings import Recipes, check_settings
from forge_gpu.frames.workers import Stats, Worker, Workers
from forge_gpu.hardware.budget import Budget
from forge_gpu.kernels.layout import I64, U64
from forge_gpu.quality.checks import REASONS
from forge_gpu.split import exact, threshold
from forge_gpu.split.fractions import Splits
from forge_gpu.templates.lines import column_key
from forge_gpu.templates.program import pack
from forge_gpu.templates.validate import nearest

Made = TypeVar("Made")

ONE_THREAD = Budget(256 * 2**20, 1, 0, "the default")

SPLITS = (Fate.TRAIN, Fate.VALIDATION, Fate.TEST)


class FrameEngine(Generic[Frame, Series]):
    """Made by `forge_gpu.open_engine`. Any number of threads may call it at once.

    Columns may be of any type that has a JSON form: text is text, null is null, and every other value stands
    for its JSON text, as in a file of JSON lines (objects without white space, dates in ISO 8601). Names of
    columns must be strings and unique. No method changes the frame it is given.
    """

    def __init__(
        self, engines: EngineFactory, frames: Frames[Frame, Series], budget: Budget = ONE_THREAD
    ) -> None:
        """engines: makes one for each thread that works at once. budget: of memory, and threads of a call."""
        self._engines = engines
        self._frames = frames
        self._budget = budget
        self._workers = Workers(engines, budget.threads)
        self._recipes = Recipes()

    @property
    def name(self) -> str:
        """`cpu` or `gpu`."""
        return "cpu" if self._engines.health.failure else self._engines.name

    @property
    def reason(self) -> str:
        """One line: why it is that one."""
        failure = self._engines.health.failure
        return self._engines.reason + (f"; given up, since it failed: {failure}" if failure else "")

    def stats(self) -> Stats:
        """What it has done so far."""
        pools = [pool.peak for pool in self._engines.opened.values()]
        peak = max([self._workers.peak, *pools])
        return Stats(self._workers.rows, self._workers.bytes, peak, self._engines.health.halvings)

    def __repr__(self) -> str:
        threads = f"{self._budget.threads} thread" + "s" * (self._budget.threads > 1)
        memory = f"{self._budget.bytes / 2**20:.0f} MiB"
        return f"<FrameEngine: {self.reason}; {threads}, {memory}; {self._workers.rows} rows so far>"

    def close(self) -> None:
        """Give back its memory and its threads, once calls that run are done. Later calls raise ForgeError; a
        second `close` does nothing."""
        self._workers.close()
        self._engines.opened.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

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
        pieces = self._through(rendering.texts, frame, template, mapping, append_eos)
        return self._frames.texts(frame, "text", pieces)

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
        pieces = self._through(rendering.reasons, frame, template, mapping, append_eos)
        return self._frames.texts(frame, "reason", pieces)

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
            fates = exact.assign(stratum, hashes, live, sizes, int(seed), self._budget.bytes)
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
        judge = partial(judged, checks=checks, names=wanted, max_length=max_length)
        start = 0
        for block in self._judged(frame, columns, mapping, judge):
            here = slice(start, start + len(block[MALFORMED]))
            start = here.stop
            for name, flags in block.items():
                failed[name][here] = flags
        return self._frames.flags(frame, failed)

    def _through(
        self,
        work: Callable[[Recipe, Worker, Columns], Made],
        frame: Frame,
        template: str | Path | Config,
        mapping: Mapping[str, Any] | schema.Mapping | None,
        append_eos: bool,
    ) -> Iterator[Made]:
        """What `work` makes of each block with the template."""
        names = self._frames.columns(frame)
        if not self._frames.rows(frame):
            return iter(())
        recipe = self._recipes.of_texts(template, mapping, append_eos, names, self._sample(frame, names))
        return self._each(frame, recipe.columns, partial(work, recipe))

    def _judged(
        self,
        frame: Frame,
        columns: str | Sequence[str] | None,
        mapping: Mapping[str, Any] | schema.Mapping | None,
        judge: Callable[[Worker, Bools, Sequence[Fields]], dict[str, Bools]],
    ) -> Iterator[dict[str, Bools]]:
        if columns is not None:
            return self._each(
                frame,
                self._columns(frame, columns),
                lambda worker, block: judge(worker, *one_by_one(worker, block)),
            )
        names = self._frames.columns(frame)
        if not self._frames.rows(frame):
            return iter(())
        recipe = self._recipes.of_fields(mapping, names, self._sample(frame, names))
        return self._each(
            frame, recipe.columns, lambda worker, block: judge(worker, *by_role(recipe, worker, block))
        )

    def _duplicates(self, frame: Frame, columns: str | Sequence[str] | None, backwards: bool = False) -> I64:
        """The row that each row repeats, -1 where it is the first of its kind (or the last: backwards)."""
        hashes = self._hashes(frame, self._columns(frame, columns))
        live = np.ones(len(hashes), np.bool_)
        with self._workers.borrow() as worker:
            first = worker.engine.first_occurrence
            if not backwards:
                return duplicates(hashes, live, self._budget.bytes, first)
            reverse = np.ascontiguousarray(hashes[::-1])
            found = duplicates(reverse, live, self._budget.bytes, first)[::-1]
            return np.where(found < 0, -1, len(found) - 1 - found)

    def _hashes(self, frame: Frame, columns: Sequence[str]) -> U64:
        """The 128-bit key of each row: uint64[n, 2]."""
        table = pack([column_key(columns)])
        found = self._each(frame, columns, lambda worker, block: keys_of(worker, table, block))
        return np.concatenate([np.zeros((0, 2), np.uint64), *found])

    def _strata(self, frame: Frame, column: str) -> U64:
        names = self._columns(frame, column)
        found = self._each(frame, names, lambda worker, block: texts_hashed(worker, block[column]))
        return np.concatenate([np.zeros(0, np.uint64), *found])

    def _each(
        self, frame: Frame, columns: Sequence[str], work: Callable[[Worker, Columns], Made]
    ) -> Iterator[Made]:
        """What `work` makes of each block of some columns, in their order."""

        rows = self._frames.rows(frame)
        most_bytes = block_bytes(self._budget)
        most_rows = rows if rows <= LEAST_ROWS else most_bytes // self._sample(frame, columns).row_bytes()

        def over(worker: Worker, part: Rows) -> Iterator[Made]:
            for block, size in blocks(self._frames, frame, columns, part, most_bytes):
                yield work(worker, block)
                self._workers.count(worker, len(next(iter(block.values()))), size)

        return self._workers.map(over, ranges(rows, self._budget.threads, most_rows))

    def _sample(self, frame: Frame, names: Sequence[str]) -> Sample:
        return Sample(self._frames, self._workers, frame, names)

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
