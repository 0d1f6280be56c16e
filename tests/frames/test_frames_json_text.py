"""Lists held as JSON text are read as lists are, and no text that is something else is taken for one."""

from __future__ import annotations

import json

import pandas as pd
import pytest

import forge_gpu
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.frames.json_text import lists_as_json
from forge_gpu.kernels.layout import JSON, NULL
from forge_gpu.templates.renderer import plain_spans

TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}</>{% endfor %}"
MAPPING = {"messages": "messages"}
CHAT = '[{"role":"user","content":"a"}]'

LISTS = [CHAT, "[]", '[1, {"a": "}\\n"}]', '["\\u0000"]', '[{"list": [1]}]']
OTHERS = [
    "", "[", "]", "[1", "text", " [1]", "[1] ", "[1]]", "[1],[2]", '[1],"list":[2]', '[2],"a":[1],"list":[2]',
    '[1]}\n{"list":[1]', "[\n1]", "[1,\r2]", '{"a":1}', "[nul]", '["\x00"]', "[1]}", "[[1]", '"[1]"',
]  # fmt: skip


def test_only_whole_lists_are_lists() -> None:
    texts = [text.encode() for pair in zip(LISTS * 4, OTHERS, strict=True) for text in pair]
    column = plain_spans([*texts, None], NULL)
    kinds = lists_as_json(column, CpuEngine()).kind
    assert [text for text, kind in zip(texts, kinds, strict=False) if kind == JSON] == [
        text.encode() for text in LISTS * 4
    ]
    assert kinds[-1] == NULL


def test_every_spelling_gives_the_same_texts() -> None:
    chats = [
        [{"role": "user", "content": f' é "{row}"\n'}, {"role": "assistant", "content": "\u2028 \x01"}]
        for row in range(50)
    ]
    lists = pd.DataFrame({"messages": pd.Series(chats, dtype=object)})
    spelled = [
        json.dumps(chat, indent=row % 3 or None, ensure_ascii=row % 2 == 0) + " " * (row % 5 == 0)
        for row, chat in enumerate(chats)
    ]
    engine = forge_gpu.open_engine("cpu")
    expected = engine.render(lists, TEMPLATE, mapping=MAPPING).tolist()
    texts = pd.DataFrame({"messages": [*spelled, CHAT[:-1], f'{CHAT},"list":{CHAT}', "[]", "no list"]})
    made = engine.render(texts, TEMPLATE, mapping=MAPPING)
    assert made.tolist()[:50] == expected and made[50:].isna().all()
    reasons = engine.reasons(texts, TEMPLATE, mapping=MAPPING)[50:]
    assert reasons.str.startswith("bad_messages: ").all()


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pd.period_range("2020", periods=2, freq="D"), "column of type period"),
        (pd.interval_range(0, 2), "column of type interval"),
        (pd.cut([1, 2], 2), "column of type interval"),
        (pd.Series([pd.Period("2020"), 1], dtype=object), "value of type Period"),
        (pd.Series([{"a": pd.Interval(0, 1)}, 1], dtype=object), "value of type Interval"),
        ([pd.DateOffset(1), pd.DateOffset(2)], "value of type DateOffset"),
    ],
)
def test_values_without_a_json_form_are_refused_by_name(values: object, kind: str) -> None:
    frame = pd.DataFrame({"when": values})
    with pytest.raises(forge_gpu.ForgeError, match=f"column 'when': a {kind}.* has no JSON form; convert it"):
        forge_gpu.open_engine("cpu").deduplicate(frame)
