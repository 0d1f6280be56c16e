"""The ways over a frame that all methods of an engine take: block by block, by any number of threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from forge_gpu.config import schema
from forge_gpu.config.schema import Config
from forge_gpu.engine.base import Engine
from forge_gpu.errors import InputError
from forge_gpu.frames.base import Frame, Frames, Series
from forge_gpu.frames.blocks import LEAST_ROWS, Columns, Rows, block_bytes, blocks, ranges
from forge_gpu.frames.dask_frames import Partitioned
from forge_gpu.frames.few import MOST_ROWS, few_rows
from forge_gpu.frames.keys import hashes_of_texts, keys_of
from forge_gpu.frames.rendering import Recipe, prepared
from forge_gpu.frames.sampling import Sample
from forge_gpu.frames.settings import Output, Recipes
from forge_gpu.frames.workers import Worker, Workers
from forge_gpu.hardware.budget import Budget
from forge_gpu.kernels.layout import U64
from forge_gpu.templates.lines import column_key
from forge_gpu.templates.program import pack
from forge_gpu.templates.validate import nearest

Made = TypeVar("Made")
Work = Callable[[Worker, Columns], Made]
RecipeWork = Callable[[Recipe, Worker, Columns], Made]
GivenMapping = Mapping[str, Any] | schema.Mapping | None
Names = str | Sequence[str] | None
OfProcess = Callable[[str, int], Any]
"""The engine of a process that frames come to, by its name and memory; it travels by its own name."""


def _of_part(passes: Passes[Any, Any], columns: Sequence[str], work: Work[Made], part: Any) -> list[Made]:
    return list(passes.each(part, columns, work))


def _passes_there(of_process: OfProcess | None, engine: str, memory: int) -> Passes[Any, Any]:
    passes: Passes[Any, Any] = engine_there(of_process, engine, memory).passes
    return passes


def engine_there(of_process: OfProcess | None, engine: str, memory: int) -> Any:
    if of_process is None:
        raise TypeError("an engine goes to another process only where forge_gpu.open_engine made it")
    return of_process(engine, memory)


class Passes(Generic[Frame, Series]):
    """Passes over frames of one library, by workers, inside a budget. Any number of threads may ask."""

    def __init__(
        self,
        make: Callable[[], Engine],
        frames: Frames[Frame, Series],
        budget: Budget,
        of_process: OfProcess | None = None,
    ) -> None:
        """of_process: makes the engine in another process, for passes that go there."""
        self.of_process = of_process
        self.engine_name = getattr(make, "name", "cpu")
        self.frames = frames
        self.budget = budget
        self.workers = Workers(make, budget.threads)
        self.recipes = Recipes()

    def recipe(
        self,
        frame: Frame,
        template: str | Path | Config,
        mapping: GivenMapping,
        append_eos: bool,
        output: Output,
    ) -> Recipe | None:
        """What renders a frame; None for one without rows."""
        names = self.frames.columns(frame)
        if not self.frames.rows(frame):
            return None
        return self.recipes.of_texts(template, mapping, append_eos, output, names, self._sample(frame, names))

    def through(self, work: RecipeWork[Made], frame: Frame, recipe: Recipe | None) -> Iterator[Made]:
        """What `work` makes of each block with a recipe."""
        return iter(()) if recipe is None else self.each(frame, recipe.columns, partial(work, recipe))

    def few(self, frame: Frame, recipe: Recipe | None) -> list[str] | None:
        """The texts of few rows that nothing can be said against; None for all other frames."""
        rows = self.frames.rows(frame)
        if recipe is None or rows > MOST_ROWS or recipe.config.output.form != "text":
            return None
        with self.workers.borrow() as worker:
            make = worker.made(
                ("few", recipe.key), lambda: few_rows(prepared(recipe, worker).renderer, recipe.columns)
            )
            if make is None:
                return None
            values = [self.frames.objects(frame, column, 0, rows) for column in recipe.columns]
            plain = [value for value in values if value is not None]
            texts = make(plain) if len(plain) == len(values) else None
            if texts is not None:
                self.workers.count(worker, rows, sum(map(len, texts)))
            return texts

    def by_role(self, work: RecipeWork[Made], frame: Frame, mapping: GivenMapping) -> Iterator[Made]:
        """What `work` makes of each block with the recipe that finds the texts of each role."""
        return self.through(work, frame, self.fields_recipe(frame, mapping))

    def fields_recipe(self, frame: Frame, mapping: GivenMapping) -> Recipe | None:
        """What finds the texts of each role; None for a frame without rows."""
        names = self.frames.columns(frame)
        if not self.frames.rows(frame):
            return None
        return self.recipes.of_fields(mapping, names, self._sample(frame, names))

    def keys(self, frame: Frame, columns: Names) -> U64:
        """The 128-bit key of each row: uint64[n, 2]."""
        names = self.columns(frame, columns)
        table = pack([column_key(names)])
        result = self.each(frame, names, lambda worker, block: keys_of(worker, table, block))
        return np.concatenate([np.zeros((0, 2), np.uint64), *result])

    def equal_keys(self, frame: Frame, columns: Names) -> U64:
        """Keys that are equal where `keys` are, and say no more than that: uint64[n, 2]. Those of one column
        of texts are hashes of the texts where they lie."""
        names = self.columns(frame, columns)
        if self.engine_name != "cpu" or len(names) > 1 or not self.frames.is_text(frame, names[0]):
            return self.keys(frame, columns)
        result = self.each(frame, names, hashes_of_texts)
        return np.concatenate([np.zeros((0, 2), np.uint64), *result])

    def each(self, frame: Frame, columns: Sequence[str], work: Work[Made]) -> Iterator[Made]:
        """What `work` makes of each block of some columns, in their order."""
        if isinstance(frame, Partitioned):
            return frame.each(partial(_of_part, self, tuple(columns), work), self.budget.threads)
        rows = self.frames.rows(frame)
        most_bytes = block_bytes(self.budget)
        most_rows = rows if rows <= LEAST_ROWS else most_bytes // self._sample(frame, columns).row_bytes()

        def over(worker: Worker, part: Rows) -> Iterator[Made]:
            for block, size in blocks(self.frames, worker.engine, frame, columns, part, most_bytes):
                yield work(worker, block)
                self.workers.count(worker, len(next(iter(block.values()))), size)

        return self.workers.map(over, ranges(rows, self.budget.threads, most_rows))

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process its work is done by an engine that is that process's own."""
        return _passes_there, (self.of_process, self.engine_name, self.budget.bytes)

    def _sample(self, frame: Frame, names: Sequence[str]) -> Sample:
        return Sample(self.frames, self.workers, frame, names)

    def columns(self, frame: Frame, columns: Names) -> tuple[str, ...]:
        """The columns that are meant. Raises InputError where one is not there, or there are none."""
        known = self.frames.columns(frame)
        required = known if columns is None else (columns,) if isinstance(columns, str) else tuple(columns)
        if not required:
            raise InputError("the frame has no columns" if columns is None else "name at least one column")
        for name in required:
            if name not in known:
                near = nearest(str(name), known)
                hint = f"did you mean {near!r}?" if near else f"there are {', '.join(known) or 'none'}"
                raise InputError(f"no column is named {name!r}; {hint}")
        return required
