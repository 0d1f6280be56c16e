"""All questions of a plan, one after the other: a later one is asked of the plan as the earlier left it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from forge_gpu.config.edit import nested_of
from forge_gpu.config.layers import Layer, build
from forge_gpu.config.schema import Config
from forge_gpu.errors import ConfigError, InputError
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.plain import frozen
from forge_gpu.tuning import lengths, mixture, near, speed
from forge_gpu.tuning.look import Look
from forge_gpu.tuning.trade import Settings, Trade, Wishes

WhyNot = Callable[[Config], str | None]
Ask = Callable[[Look, Wishes], Trade | str]

QUESTIONS: dict[str, tuple[WhyNot, Ask]] = {
    "max_length": (lengths.why_no_tokens, lengths.max_length),
    "pack_length": (lengths.why_no_packs, lengths.pack_length),
    "near": (near.why_not, near.near),
    "mixture": (mixture.why_not, mixture.mixture),
    "speed": (lambda config: None, speed.speed),
}


@frozen
class Tuning:
    """What was asked, and what came of it. passed_over: name of a question -> why it was not asked. before,
    after: the plan as it was, and with all that was chosen. settings: what differs, by dotted key. reasons:
    of these."""

    trades: tuple[Trade, ...]
    passed_over: dict[str, str]
    before: Config
    after: Config
    settings: Settings
    reasons: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """As values of JSON."""
        return {
            "trades": [trade.to_dict() for trade in self.trades],
            "passed_over": self.passed_over,
            "settings": self.settings,
            "reasons": self.reasons,
        }


def ask(spec: JobSpec, only: Collection[str] = (), wishes: Wishes | None = None) -> Tuning:
    """Ask the questions that are named, or all. Raises ForgeError."""
    wishes = wishes or Wishes()
    for name in only:
        if name not in QUESTIONS:
            raise ConfigError(f"there is nothing to tune by the name {name!r}; known: {', '.join(QUESTIONS)}")
    look = Look(spec)
    if not look.total:
        raise InputError("the input is empty: there is nothing to measure")
    trades: list[Trade] = []
    passed_over: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for name, (why_not, question) in QUESTIONS.items():
        if only and name not in only:
            continue
        answer = why_not(look.config) or question(look, wishes)
        if isinstance(answer, str):
            passed_over[name] = answer
            continue
        trades.append(answer)
        before = look.config
        look.spec = replace(look.spec, config=with_settings(before, answer.choice.settings))
        reasons |= dict.fromkeys(changed(before, look.config), f"tuned: {answer.why}")
    settings = changed(spec.config, look.config)
    reasons = {key: reasons[key] for key in settings}
    return Tuning(tuple(trades), passed_over, spec.config, look.config, settings, reasons)


def with_settings(config: Config, settings: Settings) -> Config:
    """The config with these values. Raises ConfigError."""
    return build([Layer(config.model_dump()), Layer(nested_of(settings))]).config


def changed(before: Config, after: Config) -> Settings:
    """The values of `after` that differ, by dotted key."""
    return dict(_changed(before.model_dump(), after.model_dump(), ()))


def _changed(before: dict[str, Any], after: dict[str, Any], path: tuple[str, ...]) -> Settings:
    result: Settings = {}
    for name, value in after.items():
        old = before.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            result |= _changed(old, value, (*path, name))
        elif value != old:
            result[".".join((*path, name))] = value
    return result
