"""Few rows are rendered in Python: the same texts, and the same refusals, as by the kernels."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import forge_gpu
from forge_gpu.frames import passes
from forge_gpu.frames.few import MOST_ROWS

CHAT = (
    "{% for m in messages %}{% if loop.first and m.role != 'system' %}[no system]{% endif %}"
    "<{{ m.role }}>{{ m.content | trim }}{% if '%' in m.content %}(%){% endif %}</{{ m.role }}>{% endfor %}"
)
TEXTS = st.text(max_size=8) | st.sampled_from(["%s", "100%", "{x}", " padded ", "é\n", "\ud800"])
ODD = st.sampled_from([None, 7, ["a"], {"role": "user"}])
MESSAGE = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system"]), "content": TEXTS})
ODD_MESSAGE = st.sampled_from(
    [
        {"role": "user", "content": None},
        {"content": "C", "role": "user"},
        {"role": "user", "content": "C", "name": "n"},
        {"from": "human", "value": "C"},
        {"role": "alien", "content": "C"},
        "text",
    ]
)

CHANGES = [
    ("", ""),
    ('"content":', '"role": "user", "content":'),
    ('"content":', '"content": "twice", "content":'),
    ("}, {", "},\n{"),
    ("]", "] "),
    ("]", ""),
    ("[", " ["),
    ('"user"', "NaN"),
    ("C", "\\u0000\\ud800"),
    ("C", "\t"),
]
"""Of a text in JSON: what is in it, and what comes in its place."""


def both(frame: Any, template: str, **arguments: Any) -> tuple[Any, Any]:
    """What comes out, by way of Python and by the kernels."""
    few = forge_gpu.open_engine("cpu").render(frame, template, **arguments)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "MOST_ROWS", 0)
        kernels = forge_gpu.open_engine("cpu").render(frame, template, **arguments)
    return few, kernels


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(MESSAGE, max_size=4) | st.lists(MESSAGE | ODD_MESSAGE, max_size=3) | ODD, max_size=6)
)
def test_conversations(rows: list[Any]) -> None:
    records = [{"m": row} for row in rows]
    few, kernels = both(records, CHAT, mapping={"messages": "m"})
    assert few == kernels
    few, kernels = both(records, "chatml", mapping={"messages": "m"})
    assert few == kernels


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(MESSAGE | ODD_MESSAGE, max_size=3), max_size=4), st.sampled_from(CHANGES))
def test_conversations_as_json_text(rows: list[Any], change: tuple[str, str]) -> None:
    records = [{"m": json.dumps(row).replace(*change)} for row in rows]
    few, kernels = both(records, CHAT, mapping={"messages": "m"})
    assert few == kernels


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXTS | ODD, TEXTS | st.none(), TEXTS), max_size=6))
def test_columns(rows: list[tuple[Any, ...]]) -> None:
    records = [dict(zip(("q", "i", "a"), row, strict=True)) for row in rows]
    mapping = {"query": "q", "input": "i", "response": "a"}
    for template, given_mapping in (("alpaca", mapping), ("{q}%{i}{{}}", None), ("{i}", None)):
        few, kernels = both(records, template, mapping=given_mapping)
        assert few == kernels


def test_few_conversations_do_without_the_kernels() -> None:
    frame = pd.DataFrame(
        {"m": [[{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]] * 8}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes.Passes, "through", None)
        engine = forge_gpu.open_engine("cpu")
        for template in (CHAT, "chatml"):
            assert len(engine.render(frame, template, mapping={"messages": "m"}).dropna()) == 8


def test_the_mapping_is_the_same_for_few_and_for_many() -> None:
    extras: list[object] = [
        [],
        {},
        1,
        1.5,
        None,
        "",
        True,
        ["a"],
        [["a"]],
        [{"role": "user", "content": "x"}],
    ]
    for extra in extras:
        records = [{"messages": [{"role": "user", "content": "Q"}], "more": extra}] * (MOST_ROWS + 5)
        frame = pd.DataFrame(records)
        engine = forge_gpu.open_engine("cpu")
        assert engine.render(frame, CHAT).tolist()[:3] == engine.render(frame[:3], CHAT).tolist()


def test_a_program_that_differs_from_jinja_is_never_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from forge_gpu.frames import few

    monkeypatch.setattr(few, "_maker", lambda result: lambda messages: "wrong")
    rows = [{"m": [{"role": "user", "content": "Q"}]}]
    assert forge_gpu.open_engine("cpu").render(rows, CHAT, mapping={"messages": "m"}) == [
        "[no system]<user>Q</user>"
    ]


def test_few_rows_are_counted() -> None:
    with forge_gpu.open_engine("cpu") as engine:
        engine.render([{"q": "Q"}] * 3, "{q}")
        assert (engine.stats().rows, engine.stats().bytes) == (3, 3)
