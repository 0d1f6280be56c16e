"""The engine of library users: `render`, `deduplicate`, `split` and `check` on frames.

What kind of frame goes in comes out. The rules are those of `prepare`, and so are the results on the same
rows: the same texts, the same survivors, the same splits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, Self

import numpy as np
import numpy.typing as npt

from forge_gpu.config.schema import Config
from forge_gpu.dedup.against import Against, Decontamination
from forge_gpu.dedup.exact import duplicates
from forge_gpu.dedup.near import NearDuplicates, find_clusters, survivors
from forge_gpu.dedup.shingling import Shingling
from forge_gpu.engine.choose import EngineFactory
from forge_gpu.errors import ConfigError, InputError
from forge_gpu.fates import Fate
from forge_gpu.fates import name as spelled
from forge_gpu.frames import rendering
from forge_gpu.frames.applying import Applied, apply
from forge_gpu.frames.base import Frame, Frames, Series
from forge_gpu.frames.comparing import Then, all_of, of_columns, of_roles, on_host, signed, where_it_is
from forge_gpu.frames.dask_frames import Partitioned
from forge_gpu.frames.deciding import Borrowed
from forge_gpu.frames.judging import MALFORMED, by_role, judged, one_by_one
from forge_gpu.frames.passes import GivenMapping, Names, OfProcess, Passes, Work, engine_there
from forge_gpu.frames.rendering import Recipe
from forge_gpu.frames.settings import Output, check_settings, near_settings
from forge_gpu.frames.splitting import (
    Asked,
    by_key,
    by_time,
    fractions_of,
    groups_hashed,
    times_of,
)
from forge_gpu.frames.workers import Stats
from forge_gpu.hardware.budget import Budget
from forge_gpu.job.facts.near import numbers_of
from forge_gpu.job.rows.near import settings_of
from forge_gpu.kernels.layout import I64, U64, Text
from forge_gpu.quality.checks import REASONS
from forge_gpu.split import mixture
from forge_gpu.templates.strata import hashes_of

ONE_THREAD = Budget(256 * 2**20, 1, 0, "the default")

FIELDS_OF = {
    "prompt_completion": ("prompt", "completion"),
    "prompt": ("prompt",),
    "messages": ("messages",),
    "preference": ("prompt", "chosen", "rejected"),
}
QUERIES = ("query", "text")
SPLITS = (Fate.TRAIN, Fate.VALIDATION, Fate.TEST)


Judges = Callable[..., Iterator[dict[str, npt.NDArray[np.bool_]]]]


class FrameEngine(Generic[Frame, Series]):
    """Made by `forge_gpu.open_engine`. Any number of threads may call it at once.

    Columns may be of any type that has a JSON form: text is text, null is null, and every other value stands
    for its JSON text, as in a file of JSON lines (objects without white space, dates in ISO 8601). Names of
    columns must be strings and unique. No method changes the frame it is given.
    """

    def __init__(
        self,
        engines: EngineFactory,
        frames: Frames[Frame, Series],
        budget: Budget = ONE_THREAD,
        of_process: OfProcess | None = None,
    ) -> None:
        """engines: makes one for each thread that works at once. budget: of memory, and threads of a call.
        of_process: makes the engine in another process, as a worker of a Dask cluster is."""
        self._engines = engines
        self._frames = frames
        self.passes = Passes(engines, frames, budget, of_process)
        self._decider = Borrowed(self.passes.workers)

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
        workers = self.passes.workers
        peak = max([workers.peak, *pools])
        return Stats(workers.rows, workers.bytes, peak, self._engines.health.halvings)

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process it is the engine of that process."""
        return engine_there, (self.passes.of_process, self._engines.name, self.passes.budget.bytes)

    def __repr__(self) -> str:
        threads = f"{self.passes.budget.threads} thread" + "s" * (self.passes.budget.threads > 1)
        memory = f"{self.passes.budget.bytes / 2**20:.0f} MiB"
        return f"<FrameEngine: {self.reason}; {threads}, {memory}; {self.passes.workers.rows} rows so far>"

    def close(self) -> None:
        """Give back its memory and its threads, once calls that run are done. Later calls raise ForgeError; a
        second `close` does nothing."""
        self.passes.workers.close()
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
        mapping: GivenMapping = None,
        append_eos: bool = False,
        form: Literal["text", "prompt_completion", "prompt", "messages", "preference"] = "text",
        spans: bool = False,
    ) -> Any:
        """The text of each row: a series named "text" with the frame's index; null where a row is refused.

        template: a built-in's name; a format string over columns, such as "{question}\n{answer}"; a chat
        template, spelled out, in a file, or of a model's folder; or a plan's Config, with all its settings
        but those of its output. mapping: keys of `data.mapping`, e.g. {"query": "q", "response": "a"} or
        {"messages": "chat"}; what it leaves out is not used. Without one the columns are recognised as `plan`
        does, by up to 200 rows. append_eos: end each text with the end-of-sequence token of the built-in. A
        chat template that writes the date gets today's; a Config has its own.

        form: as `output.form` of a plan. `messages` gives a series of JSON lists, the forms with several
        fields a frame with a series for each: prompt and completion; prompt, chosen and rejected. spans: with
        a chat template a frame of text and spans, JSON lists of [start, end) in characters of what the
        assistant wrote, null where it is not known. A frame without rows gives none, whatever the template.

        A row is refused for the reasons that `prepare` rejects it for before its checks: a field that is
        null, bytes that are not UTF-8, no conversation, a text that is empty, or the template says no.
        `reasons` tells which. Raises TemplateError, ConfigError, InputError; TypeError for what is no frame.
        """
        frame = self._frames.opened(frame)
        recipe = self.passes.recipe(frame, template, mapping, append_eos, Output(form, spans))
        names = [*FIELDS_OF.get(form, ("text",)), *(["spans"] if spans else [])]
        return self._frames.mapped(frame, partial(self._rendered, recipe, names))

    def reasons(
        self,
        frame: Frame,
        template: str | Path | Config,
        *,
        mapping: GivenMapping = None,
        append_eos: bool = False,
        form: Literal["text", "prompt_completion", "prompt", "messages", "preference"] = "text",
    ) -> Series:
        """Why `render` refuses rows: a series named "reason" with the frame's index; null where it renders.

        Each is a name of `fates.Reason`, with a line of detail where there is more to say:
        "null_field: 'answer' is null". Arguments and errors are those of `render`.
        """
        frame = self._frames.opened(frame)
        recipe = self.passes.recipe(frame, template, mapping, append_eos, Output(form))
        reasons: Series = self._frames.mapped(frame, partial(self._reasoned, recipe))
        return reasons

    def duplicate_of(self, frame: Frame, columns: Names = None) -> Series:
        """The position, from 0, of the first row that each row repeats: a series of integers named
        "duplicate_of", null for rows that repeat none. Columns and errors are those of `deduplicate`."""
        frame = self._frames.opened(frame)
        first = self._duplicates(frame, columns)
        return self._frames.numbers(frame, "duplicate_of", np.maximum(first, 0), first >= 0)

    def deduplicate(
        self,
        frame: Frame,
        columns: Names = None,
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
        frame = self._frames.opened(frame)
        first = self._duplicates(frame, columns, backwards=keep == "last")
        return self._frames.take(frame, np.flatnonzero(first < 0))

    def split(
        self,
        frame: Frame,
        train: float | None = None,
        validation: float | None = None,
        test: float | None = None,
        *,
        columns: Names = None,
        stratify: Names = None,
        time: str | None = None,
        group: str | None = None,
        seed: int = 42,
        mode: Literal["exact", "threshold"] = "exact",
    ) -> dict[str, Frame]:
        """The rows as frames named train, validation and test, with their index and in their order.

        Fractions: 0.9, 0.1 and 0 where none is given; else the first that is left out takes the rest. A
        row's place hangs on its key, the texts of `columns` (all by default), the seed, and its position
        where keys are equal. So it is the split that `prepare` gives to the same rows, deduplicated, with
        `dedup.key` the same columns; and for its default key with the rendered text, and then the label's
        column if there is one. exact: ⌊n·f + ½⌋ rows of each in total, and within one row of its share in
        every stratum, the rows whose columns `stratify` have the same texts. group: rows with one text in
        this column are never parted, and sizes come as near as that allows. threshold: sizes are only near
        the fractions, but adding rows moves no other. time: the oldest rows are train, the newest test (see
        `split.times`), by nothing but this column. Drop duplicates before: equal rows can be parted.

        Raises ConfigError for fractions that do not add up to 1 and for what a mode cannot honour, InputError
        for a column that is not there or has no times.
        """
        frame = self._frames.opened(frame)
        strata = () if stratify is None else self.passes.columns(frame, stratify)
        asked = Asked(mode, strata, time, group, seed, columns is not None)
        asked.check()
        sizes = fractions_of(train, validation, test)
        if time is not None:
            fates = by_time(time, sizes, self.passes.each(frame, self.passes.columns(frame, time), times_of))
        else:
            hashes, memory = self.passes.keys(frame, columns), self.passes.budget.bytes
            stratum = self._hashed(
                frame, strata, lambda worker, block: hashes_of(worker.engine, block, strata)
            )
            grouped = () if group is None else self.passes.columns(frame, group)
            whole = self._hashed(frame, grouped, groups_hashed)
            work = partial(by_key, asked, sizes, hashes, stratum, whole, memory)
            fates = self._decider.decided(work, len(hashes))
        return {spelled(fate): self._frames.take(frame, np.flatnonzero(fates == fate)) for fate in SPLITS}

    def apply(self, frame: Frame, plan: Config | str | Path) -> Applied[Frame]:
        """What `prepare` makes of the frame's rows by a plan, without an output folder: `splits`, frames by
        name, and `ledger`, what became of each row; equal to `prepare`'s for the same frame, row for row.

        plan: a ForgeConfig, or the path of a forge.yaml, whose inputs are not read. Columns are of the types
        of `Result.splits`. The rows go through a temporary folder, as JSON lines. Raises ForgeError.
        """
        return apply(self.passes, self._frames.opened(frame), plan, self.name)

    def near_duplicates(
        self,
        frame: Frame,
        columns: Names = None,
        *,
        mapping: GivenMapping = None,
        keep: str = "first",
        seed: int = 42,
        **settings: Any,
    ) -> Series:
        """The position of the row that stays for each row that is left out as a near-duplicate: a series of
        integers named "near_duplicate_of", null for rows that stay.

        It is what `prepare` does under `dedup.near`, to rows without exact duplicates. What is compared are
        the contents that `mapping` names, query and response (see `render`), or the texts of `columns`.
        settings: those of `dedup.near` in a plan: threshold (0.8), permutations, unit, size, case,
        white_space, punctuation, roles. keep: first, longest, or a column, whose largest number stays. Raises
        ConfigError, InputError.
        """
        frame = self._frames.opened(frame)
        near = near_settings({**settings, "keep": keep})
        texts = self._compared(columns, mapping, near.roles)
        rules = settings_of(near, seed)
        result = list(texts(frame, partial(signed, rules.signing)))

        def taken(then: Then[Text], rows: I64) -> list[Text]:
            return list(texts(self._frames.take(frame, rows), then))

        length = np.concatenate([np.zeros(0, np.int64), *(size for _, size in result)])
        clusters = find_clusters(
            rules,
            lambda band: (hashes[:, band] for hashes, _ in result),
            length > 0,
            length,
            lambda rows: all_of(taken(on_host, rows)),
            self.passes.budget.bytes,
            decider=self._decider,
            read_texts=None if isinstance(frame, Partitioned) else partial(taken, where_it_is),
        )
        own = {"first": None, "longest": length}
        score = own[keep] if keep in own else self._numbers(frame, keep)
        survivor = survivors(clusters.label, np.ones(len(length), np.bool_), score)
        return self._frames.numbers(frame, "near_duplicate_of", np.maximum(survivor, 0), survivor >= 0)

    def against(
        self,
        frame: Frame,
        evaluation: Frame,
        columns: Names = None,
        *,
        mapping: GivenMapping = None,
        ngram: int | None = 13,
        threshold: float | None = 0.8,
    ) -> Series:
        """The position of the row of `evaluation` that each row repeats, nearly or in a run of words: a
        series of integers named "matched", null for rows that are clean.

        It is what `prepare` does under `data.against` and `decontamination`. Queries are compared, or the
        texts of `columns`; mapping and columns hold for both frames. ngram: so many words in a row that both
        have; threshold: Jaccard similarity of their character 5-grams; None for a rule that is off. Raises
        ConfigError, InputError.
        """
        if ngram is None and threshold is None:
            raise ConfigError("ngram and threshold are both None, so there is no rule: give one of them")
        frame, evaluation = self._frames.opened(frame), self._frames.opened(evaluation)
        texts = self._compared(columns, mapping, QUERIES)
        words = None if ngram is None else Shingling("words", ngram, punctuation=True)
        near = None if threshold is None else NearDuplicates(threshold)
        known = Against(all_of(texts(evaluation, on_host)), Decontamination(words, near))
        result = [known.check(text) for text in texts(frame, on_host)]
        matched = np.concatenate(
            [np.zeros(0, np.int64), *(np.where(one.ngram >= 0, one.ngram, one.near) for one in result)]
        )
        return self._frames.numbers(frame, "matched", np.maximum(matched, 0), matched >= 0)

    def mix(
        self,
        frames: Mapping[str, Frame],
        weights: Mapping[str, float] | None = None,
        caps: Mapping[str, int] | None = None,
        *,
        columns: Names = None,
        seed: int = 42,
    ) -> dict[str, Frame]:
        """The rows of each frame that are used, by name, with their index and in their order.

        It is what `prepare` does with the weights and caps of its inputs. weights: shares of the mixture, of
        any sum; no row is used twice, so it is the largest in which the shares hold. caps: at most so many
        rows of a frame. Which rows hangs on their keys, the texts of `columns`, and the seed. Raises
        ConfigError.
        """
        for what, given in (("weights", weights), ("caps", caps)):
            odd = next((name for name in given or () if name not in frames), None)
            if odd is not None:
                raise ConfigError(f"{what}: there is no frame {odd!r}, only {', '.join(frames) or 'none'}")
        lacking = next((name for name in frames if weights is not None and name not in weights), None)
        if lacking is not None:
            raise ConfigError(f"weights: the frame {lacking!r} has none; give it one, or 0 to leave it out")
        frames = {name: self._frames.opened(frame) for name, frame in frames.items()}
        hashes = [self.passes.keys(frame, columns) for frame in frames.values()]
        sizes = list(map(len, hashes))
        shares = mixture.shares(
            sizes,
            None if weights is None else [weights[name] for name in frames],
            [(caps or {}).get(name) for name in frames],
        )
        source = np.repeat(np.arange(len(frames), dtype=np.uint32), sizes)
        every = np.concatenate([np.zeros((0, 2), np.uint64), *hashes])
        live = np.ones(len(every), np.bool_)
        sample = partial(mixture.sample, source, every, live, shares, seed, self.passes.budget.bytes)
        used = self._decider.decided(sample, len(every))
        parts = np.split(used, np.cumsum(sizes)[:-1])
        return {
            name: self._frames.take(frame, np.flatnonzero(part))
            for (name, frame), part in zip(frames.items(), parts, strict=True)
        }

    def check(
        self,
        frame: Frame,
        columns: Names = None,
        *,
        mapping: GivenMapping = None,
        max_length: int | None = None,
        **settings: Any,
    ) -> Frame:
        """Which rows fail which quality checks: a frame of booleans with the same index, a column a check.

        By default rows are what `mapping` says (see `render`), and each check looks at the fields it is
        about (see `quality.checks`), as in `prepare`. columns: texts to look at one by one instead, by every
        check. max_length: tokens; without it there is no column too_long. settings: those of `quality_checks`
        in a plan; a check that is "off" has no column, and warn and reject are one here. The first column,
        malformed, is true for rows that no check can judge: a field that is null or absent, no conversation,
        bytes that are not UTF-8. Raises ConfigError, InputError.
        """
        frame = self._frames.opened(frame)
        if columns is not None and mapping is not None:
            raise ConfigError("name columns or a mapping, not both")
        checks = check_settings(settings)
        required = [name for name in REASONS if getattr(checks, name) != "off"]
        if max_length is None and "too_long" in required:
            required.remove("too_long")
        checks = checks.model_copy(update=dict.fromkeys(required, "warn"))
        judge = partial(judged, checks=checks, names=required, max_length=max_length)
        if columns is None:
            recipe = self.passes.fields_recipe(frame, mapping)
            judges = partial(self.passes.through, partial(judge, by_role), recipe=recipe)
        else:
            names = self.passes.columns(frame, columns)
            judges = partial(self.passes.each, columns=names, work=partial(judge, one_by_one))
        checked: Frame = self._frames.mapped(frame, partial(self._checked, judges, (MALFORMED, *required)))
        return checked

    def _rendered(self, recipe: Recipe | None, names: Sequence[str], frame: Frame) -> Any:
        """The fields of a recipe: a series, or a frame where there are several."""
        few = self.passes.few(frame, recipe) if len(names) == 1 else None
        if few is not None:
            return self._frames.strings(frame, names[0], few)
        pieces = self.passes.through(rendering.texts, frame, recipe)
        if len(names) == 1:
            return self._frames.texts(frame, names[0], (piece[names[0]] for piece in pieces))
        held = list(pieces)
        series = {name: self._frames.texts(frame, name, (piece[name] for piece in held)) for name in names}
        return self._frames.made(frame, series)

    def _reasoned(self, recipe: Recipe | None, frame: Frame) -> Series:
        pieces = self.passes.through(rendering.reasons, frame, recipe)
        return self._frames.texts(frame, "reason", (piece["reason"] for piece in pieces))

    def _checked(self, judges: Judges, names: Sequence[str], frame: Frame) -> Frame:
        """A frame of the checks of these names. judges: gives what each block fails."""
        rows = self._frames.rows(frame)
        failed = {name: np.zeros(rows, np.bool_) for name in names}
        result = judges(frame=frame)
        start = 0
        for block in result:
            here = slice(start, start + len(block[MALFORMED]))
            start = here.stop
            for name, flags in block.items():
                failed[name][here] = flags
        return self._frames.made(frame, failed)

    def _compared(
        self, columns: Names, mapping: GivenMapping, roles: Sequence[str]
    ) -> Callable[[Frame, Then[Any]], Iterator[Any]]:
        """Gives what becomes of the texts of a frame that are compared, block by block."""
        if columns is not None and mapping is not None:
            raise ConfigError("name columns or a mapping, not both")
        if columns is None:
            return lambda frame, then: self.passes.by_role(partial(of_roles, roles, then), frame, mapping)
        return lambda frame, then: self.passes.each(
            frame, self.passes.columns(frame, columns), partial(of_columns, then)
        )

    def _hashed(self, frame: Frame, columns: Sequence[str], work: Work[U64]) -> U64 | None:
        """What `work` makes of each row; None where there are no columns to look at."""
        if not columns:
            return None
        return np.concatenate([np.zeros(0, np.uint64), *self.passes.each(frame, columns, work)])

    def _numbers(self, frame: Frame, column: str) -> npt.NDArray[np.float64]:
        """A column as numbers, NaN where a row has none. Raises InputError where none has."""
        names = self.passes.columns(frame, column)
        result = self.passes.each(
            frame, names, lambda worker, block: numbers_of(worker.engine.text(block[column]))
        )
        numbers = np.concatenate([np.zeros(0), *result])
        if len(numbers) and np.isnan(numbers).all():
            raise InputError(f"no row has a number in the column {column!r}; choose another for keep")
        return numbers

    def _duplicates(self, frame: Frame, columns: Names, backwards: bool = False) -> I64:
        """The row that each row repeats, -1 where it is the first of its kind (or the last: backwards)."""
        hashes = self.passes.equal_keys(frame, columns)
        live = np.ones(len(hashes), np.bool_)
        memory = self.passes.budget.bytes
        with self.passes.workers.borrow() as worker:
            first = worker.engine.first_occurrence
            if not backwards:
                return duplicates(hashes, live, memory, first)
            reverse = np.ascontiguousarray(hashes[::-1])
            result = duplicates(reverse, live, memory, first)[::-1]
            return np.where(result < 0, -1, len(result) - 1 - result)
