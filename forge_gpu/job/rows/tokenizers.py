"""The tokenizer of a plan, and what its rows are searched for."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from forge_gpu.config.schema import Action, Config
from forge_gpu.errors import ConfigError
from forge_gpu.fates import Fate, Reason
from forge_gpu.kernels.layout import I64, U8
from forge_gpu.quality.control_tokens import ControlTokens, tokens_of_template
from forge_gpu.templates.forms import form_of
from forge_gpu.templates.forms.tokens import prompt_alone

if TYPE_CHECKING:
    from forge_gpu.tokens.settings import Guard
    from forge_gpu.tokens.tokenizer import TokenizerPlan

MOST_PLANS = 2
"""Tokenizers that a process keeps loaded: of one with a large vocabulary, some hundred megabytes."""


def tokenizer_plan(config: Config) -> TokenizerPlan | None:
    """The tokenizer of a plan; None where it makes no tokens. Raises ForgeError."""
    if not form_of(config).is_encoded:
        return None
    from forge_gpu.tokens.folder import find_tokenizer
    from forge_gpu.tokens.settings import Guard

    tokens = config.tokens
    if tokens.tokenizer is None:
        raise ConfigError(
            "output.form tokens needs tokens.tokenizer: the folder of the model, or its tokenizer.json"
        )
    file = find_tokenizer(Path(tokens.tokenizer))
    guard = Guard(tokens.control_text, tokens.markup_text, tuple(tokens.allow))
    return _plan_of(file, _state(file), guard)


def depends_on_lengths(config: Config) -> bool:
    """Whether what becomes of a row depends on its tokens: then they are counted before that is decided, and
    wait in files until they are written."""
    if not form_of(config).is_encoded:
        return False
    tokens = config.tokens
    return (
        longest_row(config) is not None
        or min_trained(config) > 1
        or tokens.cut != "none"
        or config.output.packing != "none"
        or config.data.weights_by == "tokens"
        or config.data.repeats is not None
    )


def min_trained(config: Config) -> int:
    """The trained tokens that a row must have; none where no answers are encoded."""
    return 0 if prompt_alone(config) else config.tokens.min_trained


def pack_length(config: Config) -> int:
    """The tokens of a pack, of a plan that packs."""
    length = config.output.pack_length or config.model.max_length
    assert length is not None  # a rule of plans
    return length


def longest_row(config: Config) -> int | None:
    """Rows of more tokens are rejected: by the check too_long, or because they fit in no pack."""
    rejects = config.preprocessing.quality_checks.too_long == "reject"
    longest = config.model.max_length if rejects else None
    if config.output.packing == "bfd":
        room = pack_length(config) // config.output.pad_rows_to * config.output.pad_rows_to
        return min(room, longest or room)
    return longest


def counts_as_another(config: Config) -> bool:
    """Whether an exact duplicate has the tokens of the row that it repeats, so that nobody counts them."""
    return config.preprocessing.dedup.key == "rendered"


def counted_rows(config: Config, fates: U8, reasons: U8, live: I64) -> I64:
    """Rows of a chunk that go into no split, and whose tokens are counted all the same: those that can be
    rendered, and whose control tokens are known. fates, reasons: of its rows up to the job's limit. live:
    those that can be rendered."""
    dropped = (fates > Fate.TEST) & (fates <= max(Fate)) & (reasons != Reason.UNKNOWN_ORIGIN)
    if counts_as_another(config):
        dropped &= fates != Fate.DUPLICATE
    live = live[live < len(dropped)]
    counted: I64 = live[dropped[live]]
    return counted


@lru_cache(MOST_PLANS)
def _plan_of(file: Path, state: tuple[int, int], guard: Guard) -> TokenizerPlan:
    """Read once a process, as long as the file stays as it is and few others are asked for."""
    from forge_gpu.tokens.folder import read_tokenizer
    from forge_gpu.tokens.tokenizer import TokenizerPlan

    return TokenizerPlan.of(read_tokenizer(file), guard)


def _state(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError:
        return 0, 0  # reading it says what is amiss
    return status.st_mtime_ns, status.st_size


def control_checks(config: Config) -> list[tuple[ControlTokens, Action]]:
    """What contents are searched for, and what becomes of rows that spell it."""
    plan, tokens = tokenizer_plan(config), config.tokens
    control, markup = set(tokens_of_template(config)), set()
    if plan is not None:
        control |= {token.content for token in plan.definition.added if token.special}
        markup = {token.content for token in plan.definition.added if not token.special}
    action = config.preprocessing.quality_checks.control_tokens
    if plan is not None and tokens.control_text == "reject":
        action = "reject"
    checks: list[tuple[ControlTokens, Action]] = []
    if action != "off":
        checks.append((ControlTokens(control - markup - {*tokens.allow}), action))
    if plan is not None and tokens.markup_text == "reject":
        checks.append((ControlTokens(markup - {*tokens.allow}), "reject"))
    return [(looked_for, action) for looked_for, action in checks if looked_for]
