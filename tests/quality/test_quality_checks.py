"""checks: each check on fields made to fail it, the order of reasons, warnings and switches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pytest

from forge_gpu.config.schema import Checks
from forge_gpu.engine.base import Engine
from forge_gpu.fates import Reason
from forge_gpu.kernels.cpu.jsontext import decode
from forge_gpu.kernels.cpu.statistics import judge
from forge_gpu.kernels.layout import ABSENT, NULL, PLAIN, Spans, Text
from forge_gpu.kernels.reference.statistics import Judged
from forge_gpu.kernels.scratch import Scratch
from forge_gpu.quality.checks import REASONS, Checked, check

ALL_OFF: dict[str, Any] = dict.fromkeys(REASONS, "off")
GOOD = "a good and sufficient answer"


class Kernels:
    """The part of an engine that checks use; its buffers are reused, as an engine's are."""

    def __init__(self) -> None:
        self.scratch = Scratch()
        self.limits: list[float | None] = []

    def text(self, column: Spans) -> Text:
        return decode(column, self.scratch)

    def judge(self, column: Spans, limit: float | None) -> Judged:
        self.limits.append(limit)
        return judge(column, limit, self.scratch)


def as_engine(kernels: Kernels) -> Engine:
    """What the checks take for an engine: they ask for no more than these kernels have."""
    return cast(Engine, kernels)


def spans(values: Sequence[str | None]) -> Spans:
    """Texts as a column; None is null."""
    encoded = [(value or "").encode() for value in values]
    length = np.array([len(value) for value in encoded], np.int64)
    kind = np.array([NULL if value is None else PLAIN for value in values], np.uint8)
    return Spans(np.frombuffer(b"".join(encoded), np.uint8), np.cumsum(length) - length, length, kind)


def run(
    max_length: int | None = None, fields: Mapping[str, Sequence[str | None]] | None = None, **settings: Any
) -> Checked:
    texts = {field: spans(values) for field, values in (fields or {}).items()}
    return check(texts, Checks(**{**ALL_OFF, **settings}), max_length, as_engine(Kernels()))


def setting(name: str, value: str) -> dict[str, Any]:
    return {name: value}


FAILING = {
    "empty": " \u3000\n",
    "too_short": "ab",
    "mojibake": "donâ€™t do that",
    "replacement_character": "a \ufffd there",
    "control_character": "a bell \x07 here",
    "repetition": "no, no, " * 30,
}


@pytest.mark.parametrize("name", FAILING)
def test_a_failing_response_is_rejected_or_warned_of(name: str) -> None:
    fields = {"query": [GOOD, GOOD], "response": [GOOD, FAILING[name]]}
    rejected = run(fields=fields, **setting(name, "reject"))
    assert rejected.reason.tolist() == [0, REASONS[name]]
    assert rejected.warned == {}
    warned = run(fields=fields, **setting(name, "warn"))
    assert warned.reason.tolist() == [0, 0]
    assert {why: rows.tolist() for why, rows in warned.warned.items()} == {REASONS[name]: [False, True]}


@pytest.mark.parametrize("name", [name for name in FAILING if name != "too_short"])
@pytest.mark.parametrize("field", ["query", "text", "chosen", "rejected"])
def test_any_field_can_fail(name: str, field: str) -> None:
    result = run(fields={field: [FAILING[name], GOOD], "response": [GOOD, GOOD]}, **setting(name, "reject"))
    assert result.reason.tolist() == [REASONS[name], 0]


def test_input_and_system_may_be_empty() -> None:
    fields: dict[str, list[str | None]] = {"query": ["q"], "input": [""], "system": [None], "response": ["r"]}
    assert run(fields=fields, empty="reject").reason.tolist() == [0]


@pytest.mark.parametrize("kind", [ABSENT, NULL])
def test_null_and_absent_are_empty(kind: int) -> None:
    column = Spans(
        np.zeros(0, np.uint8), np.zeros(1, np.int64), np.zeros(1, np.int64), np.array([kind], np.uint8)
    )
    result = check({"query": column}, Checks(), None, as_engine(Kernels()))
    assert result.reason.tolist() == [Reason.EMPTY_FIELD]


def test_a_short_query_is_not_too_short() -> None:
    fields = {"query": ["2?", "2?"], "response": ["yes", "no"]}
    assert run(fields=fields, too_short="reject").reason.tolist() == [0, Reason.TOO_SHORT]
    assert run(fields=fields, too_short="reject", min_characters=2).reason.tolist() == [0, 0]
    assert run(fields={"text": ["日本語"]}, too_short="reject").reason.tolist() == [0]


def test_too_long_is_an_estimate_over_all_fields() -> None:
    fields = {"query": ["q" * 20, "q" * 20], "chosen": ["c" * 20, "c" * 21], "rejected": ["r" * 20, "r"]}
    result = run(max_length=10, fields=fields, too_long="warn")
    assert result.reason.tolist() == [0, 0]
    assert result.warned[Reason.TOO_LONG].tolist() == [False, True]
    assert run(max_length=None, fields=fields, too_long="warn").warned == {}


def test_max_repetition_is_the_limit() -> None:
    fields = {"text": ["ab" * 300, GOOD]}
    assert run(fields=fields, repetition="reject", max_repetition=0.9).reason.tolist() == [
        Reason.REPETITION,
        0,
    ]
    assert run(fields=fields, repetition="reject", max_repetition=1.0).reason.tolist() == [0, 0]


def test_the_first_rejecting_check_gives_the_reason() -> None:
    fields = {"query": ["\ufffd", "\ufffd\x07", "\x07"], "response": ["", "r", "response"]}
    everything: dict[str, Any] = dict.fromkeys([name for name in REASONS if name != "too_long"], "reject")
    expected = [Reason.EMPTY_FIELD, Reason.TOO_SHORT, Reason.CONTROL_CHARACTER]
    assert run(fields=fields, **everything).reason.tolist() == expected
    expected = [Reason.EMPTY_FIELD, Reason.REPLACEMENT_CHARACTER, Reason.CONTROL_CHARACTER]
    result = run(fields=fields, **{**everything, "too_short": "warn"})
    assert result.reason.tolist() == expected
    assert result.warned[Reason.TOO_SHORT].tolist() == [False, False, False]  # rejected rows are no warnings


def test_checks_that_are_off_cost_nothing() -> None:
    kernels = Kernels()
    texts = {"text": spans([GOOD])}
    assert check(texts, Checks(**ALL_OFF), 1, as_engine(kernels)).warned == {}
    assert kernels.limits == []
    check(texts, Checks(**{**ALL_OFF, "empty": "reject"}), None, as_engine(kernels))
    check(texts, Checks(), None, as_engine(kernels))
    assert kernels.limits == [None, 0.6]


def test_no_rows() -> None:
    result = check({"text": spans([])}, Checks(), 10, as_engine(Kernels()))
    assert result.reason.tolist() == []
    assert all(rows.tolist() == [] for rows in result.warned.values())
