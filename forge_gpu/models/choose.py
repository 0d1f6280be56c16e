"""Which model can be fine-tuned in the memory at hand, and how many sequences at once.

Estimates, shown with their sums: the formulas and their sources stand in memory.yaml.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import Any, Literal

from ruamel.yaml import YAML

from forge_gpu.models.registry import Model, models, table
from forge_gpu.plain import frozen

Method = Literal["full", "lora", "qlora"]
GIB = 2**30
ADAPTERS: tuple[Method, ...] = ("lora", "qlora")  # the better first
LARGEST_BATCH = 64


@frozen
class Need:
    """Bytes of fine-tuning: what does not depend on the batch, and what one sequence adds."""

    method: Method
    fixed: int
    per_sequence: int
    tokens: int  # of the sequence

    def total(self, batch: int) -> int:
        return self.fixed + batch * self.per_sequence


@frozen
class Choice:
    """model: the best that fits, None if none does. arithmetic: one line, the sum that decided."""

    model: Model | None
    need: Need | None
    use: str
    arithmetic: str


@cache
def _constants() -> dict[str, Any]:
    text = resources.files("forge_gpu.models").joinpath("memory.yaml").read_text("utf-8")
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return loaded


def need(model: Model, method: Method, tokens: int | None = None, rank: int | None = None) -> Need:
    """The memory that fine-tuning takes with sequences of `tokens` (by default the context, at most 2048).

    rank: of the adapters, which are on all linear layers; by default 16. See memory.yaml.
    """
    constants = _constants()
    parameters = model.parameters * 1e9
    length = min(tokens or constants["most_tokens"], model.context)
    embedding = min(2 * model.vocabulary * model.hidden, int(parameters))  # with the output layer
    if method == "full":
        weights = parameters * constants["weight_bytes"]["full"]
    else:
        frozen = constants["weight_bytes"][method]
        weights = (parameters - embedding) * frozen + embedding * constants["embedding_bytes"]
        features = constants["adapter_features"] * model.hidden * model.layers
        weights += (rank or constants["adapter_rank"]) * features * constants["adapter_bytes"]
    weights *= 1 + constants["fragments"]
    layers = constants["kept_per_layer"] * model.layers + constants["recomputed"]
    sequence = length * (layers * model.hidden + constants["logit_bytes"] * model.vocabulary)
    return Need(method, int(weights) + constants["fixed_bytes"], int(sequence), length)


def recommended_batch_size(model: Model, vram: int, method: Method, tokens: int | None = None) -> int | None:
    """The largest power of two of sequences that fits in `vram` bytes; None where not one does."""
    cost = need(model, method, tokens)
    room = vram * _constants()["usable_share"] - cost.fixed
    fitting = min(LARGEST_BATCH, int(room // cost.per_sequence)) if room > 0 else 0
    return 1 << (fitting.bit_length() - 1) if fitting else None


def best_method(model: Model, vram: int, tokens: int | None = None) -> Method | None:
    """LoRA where it fits, else QLoRA, else None."""
    for method in ADAPTERS:
        if recommended_batch_size(model, vram, method, tokens):
            return method
    return None


def use_of(goal: str | None) -> str:
    """What the goal's words call for: one of the registry's uses, chat without a hint."""
    words = set(re.findall(r"[\w-]+", (goal or "").lower()))
    return next((use for use, hints in table()["goals"].items() if words & set(hints)), "chat")


def choose(goal: str | None, vram: int, tokens: int | None = None) -> Choice:
    """The best model for the goal in `vram` bytes: of those with a free licence and a built-in template
    that were made for its use, the one with the most parameters that LoRA fits; QLoRA where LoRA fits none.

    Where none made for the use fits, those made for chat are tried.
    """
    use = use_of(goal)
    for purpose in dict.fromkeys((use, "chat")):
        for method in ADAPTERS:
            fitting = [m for m in _candidates(purpose) if recommended_batch_size(m, vram, method, tokens)]
            if fitting:
                model = max(fitting, key=lambda m: (m.parameters, m.context))
                cost = need(model, method, tokens)
                return Choice(model, cost, purpose, _sum(model, cost, vram))
    smallest = min(_candidates("chat"), key=lambda m: m.parameters)
    return Choice(
        None,
        None,
        use,
        f"not even {smallest.name} fits: {_sum(smallest, need(smallest, 'qlora', tokens), vram)}",
    )


def _candidates(use: str) -> list[Model]:
    free = table()["free_licences"]
    return [model for model in models() if use in model.uses and model.template and model.licence in free]


def _sum(model: Model, cost: Need, vram: int) -> str:
    name = {"full": "full fine-tuning", "lora": "LoRA", "qlora": "QLoRA"}[cost.method]
    usable = vram * _constants()["usable_share"]
    return (
        f"{model.parameters:g}B parameters with {name} take {cost.fixed / GIB:.1f} GiB, and a sequence of "
        f"{cost.tokens} tokens {cost.per_sequence / GIB:.1f} GiB: {cost.total(1) / GIB:.1f} GiB of the "
        f"{usable / GIB:.1f} GiB that {vram / GIB:.1f} GiB leave usable"
    )
