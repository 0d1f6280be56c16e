"""Rows whose contents spell a token that only a template writes: a model that is trained on them learns that
a question can end the user's turn and begin the system's."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from forge_gpu.config.schema import Config
from forge_gpu.kernels.cpu.spelled import spelled, words_of
from forge_gpu.kernels.layout import Spans
from forge_gpu.kernels.scratch import Scratch
from forge_gpu.templates.builtin import builtin
from forge_gpu.templates.forms import form_of

Bools = npt.NDArray[np.bool_]


class ControlTokens:
    """Some tokens, looked for in contents."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._words = words_of(token.encode() for token in tokens)

    def __bool__(self) -> bool:
        return bool(self._words.begins.any())

    def spelled(self, columns: Sequence[Spans], scratch: Scratch) -> Bools:
        """bool[n]: rows that spell one in a column. Of JSON values: as they stand there."""
        result = np.zeros(len(columns[0]), np.bool_)
        for column in columns:
            result |= spelled(column, self._words, scratch) != 0
        return result


def tokens_of_template(config: Config) -> frozenset[str]:
    """The control tokens that a plan's template writes, and those that the model has: [] where nothing is
    rendered."""
    model = config.model
    if not form_of(config).is_rendered or model.template_kind == "none":
        return frozenset()
    source = model.chat_template or ""
    if model.template_kind == "builtin":
        source = builtin(source).template
    return frozenset(pattern().findall(source)) | {
        token for name, token in model.special_tokens.items() if name != "unk_token" and len(token) > 1
    }


@cache
def pattern() -> re.Pattern[str]:
    """How control tokens look in a template."""
    text = (files("forge_gpu.quality") / "control_tokens.toml").read_text(encoding="utf-8")
    return re.compile("|".join(tomllib.loads(text)["patterns"]))
