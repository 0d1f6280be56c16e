"""Rows whose contents spell a token that only a template writes: a model that is trained on them learns that
a question can end the user's turn and begin the system's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt
from ruamel.yaml import YAML

from forge_gpu.config.schema import Config
from forge_gpu.engine.base import Engine
from forge_gpu.kernels.cpu.added_tokens import cut
from forge_gpu.kernels.layout import Spans, Text
from forge_gpu.kernels.token_layout import GUARDED, WORD_BITS, AddedTokens, Runs, added_tokens
from forge_gpu.templates.builtin import builtin
from forge_gpu.templates.forms import form_of

Bools = npt.NDArray[np.bool_]


class ControlTokens:
    """Some tokens, looked for in contents."""

    def __init__(self, tokens: Iterable[str]) -> None:
        contents = sorted({token.encode() for token in tokens if token})
        flags = [GUARDED] * len(contents)
        no_words = np.zeros(WORD_BITS, np.uint8)
        self._tokens: AddedTokens = added_tokens(contents, list(range(len(contents))), flags, no_words)

    def __bool__(self) -> bool:
        return len(self._tokens.id) > 0

    def spelled(self, columns: Iterable[Spans], engine: Engine) -> Bools:
        """bool[n]: rows that spell one in a column. Of JSON values: as they stand there."""
        found: Bools | None = None
        for column in columns:
            text = engine.text(column)
            own = cut(Text(text.data, text.offsets), _no_runs(len(column)), self._tokens).guarded > 0
            found = own if found is None else found | own
        assert found is not None
        return found


def tokens_of_template(config: Config) -> frozenset[str]:
    """The control tokens that a plan's template writes, and those that the model has: [] where nothing is
    rendered."""
    model = config.model
    if not form_of(config).is_rendered or model.template_kind == "none":
        return frozenset()
    source = model.chat_template or ""
    if model.template_kind == "builtin":
        source = builtin(source).template
    return frozenset(_pattern().findall(source)) | {
        token for name, token in model.special_tokens.items() if name != "unk_token" and len(token) > 1
    }


@cache
def _pattern() -> re.Pattern[str]:
    text = (files("forge_gpu.quality") / "control_tokens.yaml").read_text(encoding="utf-8")
    return re.compile("|".join(YAML(typ="safe", pure=True).load(text)["patterns"]))


def _no_runs(rows: int) -> Runs:
    nothing = np.zeros(0, np.int64)
    return Runs(np.zeros(rows + 1, np.int64), nothing, nothing)
