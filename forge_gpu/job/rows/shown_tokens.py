"""Rows as their tokens, for whoever wants to see what a trainer gets."""

from __future__ import annotations

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.engine.base import Engine
from forge_gpu.errors import ConfigError
from forge_gpu.job.rows.cuts import RowCutter
from forge_gpu.job.rows.encoded import RowEncoder
from forge_gpu.job.rows.rows import RowReader, Rows
from forge_gpu.job.rows.tokenizers import tokenizer_plan
from forge_gpu.plain import frozen


@frozen
class ShownToken:
    """bytes: what it stands for; a character may be cut by its end."""

    id: int
    bytes: bytes
    is_trained: bool
    is_added: bool

    @property
    def text(self) -> str:
        return self.bytes.decode(errors="replace")


@frozen
class ShownRow:
    """tokens: as they are written. control_text: control tokens that its contents spell. cut_tokens,
    cut_messages: what was cut off. most: tokens of a piece, where rows are split into several; else None."""

    tokens: list[ShownToken]
    control_text: int
    cut_tokens: int
    cut_messages: int
    most: int | None


class TokenView:
    """Shows rows as a plan encodes and cuts them. Raises ConfigError for a plan that makes no tokens."""

    def __init__(self, config: Config, reader: RowReader, engine: Engine) -> None:
        plan = tokenizer_plan(config)
        if plan is None:
            raise ConfigError(
                "the plan makes no tokens: --set output.form=tokens --set tokens.tokenizer=FOLDER"
            )
        self._added = {token.id for token in plan.definition.added}
        self._most = config.model.max_length if config.tokens.cut == "split" else None
        self._encoder = RowEncoder(config, engine, plan, reader.renderer)
        self._cutter = RowCutter(config, reader, self._encoder)

    def row(self, rows: Rows, number: int) -> ShownRow:
        """number: of a row among these that is not refused."""
        chosen = np.array([number], np.int64)
        whole = self._encoder.encode(rows, chosen).tokens
        cut = self._cutter.cut(rows, chosen, whole)
        tokens = [
            ShownToken(identity, self._encoder.bytes_of(identity), bool(weight), identity in self._added)
            for identity, weight in zip(cut.tokens.ids.tolist(), cut.tokens.weights.tolist(), strict=True)
        ]
        cut_tokens, cut_messages = int(cut.cut_tokens[0]), int(cut.cut_messages[0])
        return ShownRow(tokens, int(whole.guarded[0]), cut_tokens, cut_messages, self._most)
