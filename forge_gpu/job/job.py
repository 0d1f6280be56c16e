"""A job that is open: what its steps work on."""

from __future__ import annotations

from dataclasses import field
from functools import cached_property
from pathlib import Path

import numpy as np

from forge_gpu.errors import OutputError
from forge_gpu.fates import Fate
from forge_gpu.hardware.budget import Budget
from forge_gpu.io.sinks.registry import format_of
from forge_gpu.job.decide.mixture import Mixture
from forge_gpu.job.events.events import Listener
from forge_gpu.job.output.collector import Collector
from forge_gpu.job.output.manifest import RunFacts
from forge_gpu.job.output.outputs import Outputs
from forge_gpu.job.rows.expansion import Expansions
from forge_gpu.job.rows.kinds import column_type
from forge_gpu.job.rows.tokenizers import depends_on_lengths, pack_length
from forge_gpu.job.rows.workspace import Workspace
from forge_gpu.job.run.pool import Executor
from forge_gpu.job.state import decisions as decided
from forge_gpu.job.state import index
from forge_gpu.job.state.checkpoint import Checkpoint
from forge_gpu.job.state.decisions import SPLITS, Decisions
from forge_gpu.job.state.index import RangeFacts
from forge_gpu.job.state.inputs import JobInputs, PlacedBlock, placed_blocks
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.job.state.token_table import TokenTable, TokenWriter
from forge_gpu.packs.sink import ByRows, ByTokens, Cut, Padding
from forge_gpu.plain import mutable
from forge_gpu.templates.forms import form_of


@mutable
class Job:
    """Its inputs, its checkpoint, its threads."""

    spec: JobSpec
    budget: Budget
    inputs: JobInputs
    checkpoint: Checkpoint
    pool: Executor[Workspace]
    facts: RunFacts
    listener: Listener
    mixture: Mixture | None = None
    expansions: Expansions = field(default_factory=Expansions)
    collector: Collector | None = None

    @cached_property
    def decisions(self) -> Decisions:
        """What the checkpoint says of each row; known when the decisions are made. Raises OutputError."""
        return self._read_back(self.checkpoint.decisions)

    def _read_back(self, folder: Path) -> Decisions:
        decisions = decided.load(folder)
        if decisions is None:
            raise OutputError(f"{folder}: does not read back as it was written; check the disk")
        return decisions

    @property
    def retained(self) -> Decisions:
        """What was decided before any row was encoded. Raises OutputError."""
        return self._read_back(self.checkpoint.retained)

    @cached_property
    def outputs(self) -> Outputs:
        """Where rows are written, from where an earlier run left it; open from here on."""
        spec, state = self.spec, self.checkpoint.state
        return Outputs(
            spec.output,
            self.checkpoint.shuffle_folder,
            format_of(spec.config.output.format),
            self.columns,
            self.decisions.line_counts(),
            spec.config.output.rows_per_shard,
            self._packs(),
            self.decisions.rank is not None,
            self.inputs.total_bytes + self.inputs.total_bytes // 4,
            state.positions,
            self._rows_written(),
            self.expansions.around,
        )

    def _packs(self) -> dict[Fate, tuple[int, Cut, Padding | None]]:
        """Of each split whose rows are packed, how many packs there are, where they end, their padding."""
        config, counts = self.spec.config, self.decisions.file_counts()
        if config.output.packing == "none":
            return {}
        cuts: dict[Fate, Cut] = {split: ByTokens(pack_length(config)) for split in SPLITS}
        if config.output.packing == "bfd":
            cuts = {split: ByRows(self.decisions.rows_of_packs(split)) for split in SPLITS}
        return {split: (counts[split], cuts[split], Padding.of(config.output)) for split in SPLITS}

    def indexed_bytes(self) -> int:
        """Of the input, what an earlier run has indexed."""
        done = (item for item in self.inputs.items if self.checkpoint.has_index(item.number))
        return sum(item.range.size for item in done)

    def written_bytes(self) -> int:
        """Of the input, what an earlier run has written."""
        return sum(placed.range.size for placed in self.blocks[: self.checkpoint.state.written_blocks])

    def encoded_bytes(self) -> int:
        """Of the input, what an earlier run has encoded, where that is a pass of its own."""
        return sum(placed.range.size for placed in self.blocks[: self.checkpoint.state.encoded_blocks])

    @cached_property
    def token_writer(self) -> TokenWriter:
        """Where the tokens of rows are noted, from where an earlier run left it; open from here on."""
        state, folder = self.checkpoint.state, self.checkpoint.tokens_folder
        if depends_on_lengths(self.spec.config):
            return TokenWriter(folder, self._rows_before(state.encoded_blocks), state.encoded_tokens)
        return TokenWriter(folder, self._rows_before(state.written_blocks), None)

    @cached_property
    def token_rows(self) -> np.ndarray:
        """What is noted of the tokens of all rows, once it is whole: `token_table.ROW`, mapped."""
        if "token_writer" in self.__dict__:
            self.token_writer.close()
        return self.tokens.rows(sum(placed.block.rows for placed in self.blocks))

    @property
    def tokens(self) -> TokenTable:
        return TokenTable(self.checkpoint.tokens_folder.absolute())

    def _rows_before(self, blocks: int) -> int:
        return sum(placed.block.rows for placed in self.blocks[:blocks])

    def _rows_written(self) -> dict[Fate, int]:
        """Lines of each fate in the blocks that an earlier run had written."""
        return self.decisions.line_counts(self._rows_before(self.checkpoint.state.written_blocks))

    @cached_property
    def columns(self) -> dict[str, str]:
        """The columns of the output, with their types; {} where it has none of its own."""
        config = self.spec.config
        form = form_of(config)
        if form.is_record:
            return {}
        columns: dict[str, str] = {field.name: field.type for field in form.fields(config)}
        for column in config.output.columns:
            kinds = 0
            for facts in self.ranges:
                kinds |= facts.kinds.get(column, 0)
            columns[column] = column_type(kinds)
        return columns

    def close(self) -> None:
        """Close what is open, after a failure too."""
        if "outputs" in self.__dict__:
            self.outputs.close()
        if "token_writer" in self.__dict__:
            self.token_writer.close()
        self.pool.close()
        self.expansions.close()
        self.inputs.close()

    @cached_property
    def ranges(self) -> list[RangeFacts]:
        """What the index says of each range; known when the first pass has ended."""
        return [index.read_facts(self.checkpoint.index_path(item.number)) for item in self.inputs.items]

    @cached_property
    def blocks(self) -> list[PlacedBlock]:
        """What the second pass writes, in order."""
        return placed_blocks(self.inputs.items, self.ranges)
