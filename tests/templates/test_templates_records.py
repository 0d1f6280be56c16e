"""Records of every shape to messages, and to the templates that take them."""

import json
from typing import Any

import pytest

from forge_gpu.config.schema import Config, DataConfig, Mapping, ModelConfig, OutputConfig
from forge_gpu.errors import ConfigError
from forge_gpu.fates import Reason
from forge_gpu.templates.choose import make_renderer
from forge_gpu.templates.conversations import ListShape
from forge_gpu.templates.records import BadRecord, messages_of
from forge_gpu.templates.roles import role_aliases
from tests.templates.chat_support import WRITTEN, render

SHOW = "{% for m in messages %}[{{ m.role }}|{{ m.content }}]{% endfor %}"
SHOW += "{% if add_generation_prompt %}[assistant|{% endif %}"
ALIASES = role_aliases({})
TURN = [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]


def make(mapping, form="text", kind="jinja", template=SHOW, spans=False, **model):
    model = {"template_kind": kind, "chat_template": template, **model}
    output = OutputConfig(form=form, spans=spans)
    return make_renderer(
        Config(data=DataConfig(mapping=Mapping(**mapping)), model=ModelConfig(**model), output=output)
    )


def texts(mapping, rows, **options):
    return [
        entry["text"] if isinstance(entry, dict) else entry
        for entry in render(make(mapping, **options), rows)
    ]


@pytest.mark.parametrize("rows_before", [0, 5])
def test_sharegpt(rows_before):
    """Each row is the same whether it is the first of its shape or comes after the shape was compiled."""
    mapping = {"shape": "conversation", "messages": "c", "system": "s", "tools": "t"}
    rows = [
        {"c": TURN},
        {"c": TURN, "s": "S\n"},
        {"c": TURN, "s": ""},
        {"c": TURN, "s": None},
        {"c": [{"from": "system", "value": "S"}, *TURN]},
        {"c": [{"from": "system", "value": "S"}, *TURN], "s": "T"},
        {"c": [{"from": "human", "value": "Q", "weight": 1}, {"from": "chatgpt", "value": "A"}]},
        {"c": [{"value": "Q", "from": "user"}, {"value": "A", "from": "assistant"}]},
        {"c": [{"from": "alien", "value": "Q"}]},
        {"c": json.dumps(TURN)},
        {"c": "no list"},
        {"c": []},
        {"c": None},
        {},
        {"c": ["text"]},
        {"c": [{"who": "me"}]},
    ]
    result = texts(mapping, [{"c": TURN}] * rows_before + rows)[rows_before:]
    turn = "[user|Q][assistant|A]"
    assert result[:5] == [turn, "[system|S\n]" + turn, turn, turn, "[system|S]" + turn]
    assert result[5] == (Reason.BAD_MESSAGES, "both 's' and the messages have a system prompt")
    assert result[6:8] == [turn, turn]
    assert result[8][0] == Reason.BAD_MESSAGES and "data.mapping.roles" in result[8][1]
    assert result[9] == turn
    assert [entry[0] for entry in result[10:]] == [
        Reason.BAD_MESSAGES,
        Reason.BAD_MESSAGES,
        Reason.NULL_FIELD,
        Reason.MISSING_FIELD,
        Reason.BAD_MESSAGES,
        Reason.BAD_MESSAGES,
    ]
    assert result[12][1] == "'c' is null" and result[13][1] == "'c' is missing"
    assert all(entry[1] and "\n" not in entry[1] for entry in result[10:])


def test_openai_messages_are_passed_as_they_came():
    show = "{% for m in messages %}{{ m | tojson }}{% endfor %}|{{ tools | tojson }}"
    messages: list[dict[str, Any]] = [
        {"role": "developer", "content": ""},
        {"role": "user", "content": [], "name": "Ann"},
        {
            "content": None,
            "role": "assistant",
            "tool_calls": [{"function": {"arguments": '{"a": 1e5}', "name": "f"}}],
        },
        {"role": "tool", "tool_call_id": "1"},
    ]
    tools = [{"name": "f", "parameters": {"b": {}, "a": []}}]
    mapping = {"shape": "conversation", "messages": "m", "tools": "t"}
    shown = [{key: value for key, value in message.items() if value is not None} for message in messages]
    for given in (tools, json.dumps(tools)):
        (result,) = texts(mapping, [{"m": messages, "t": given}], template=show)
        assert result == "".join(json.dumps(message) for message in shown) + "|" + json.dumps(tools)


def test_absent_and_empty_are_different_and_null_is_absent():
    """As apply_chat_template has it: it drops keys of messages that are null."""
    show = "{% set c = messages[0].content %}{{ c is defined }} {{ c is none }} {{ c is string }} "
    contents: list[dict[str, Any]] = [{}, {"content": None}, {"content": []}, {"content": ""}]
    rows = [{"m": [{"role": "user", **content}]} for content in contents]
    mapping = {"shape": "conversation", "messages": "m"}
    assert texts(mapping, rows, template=show) == [
        "False False False ",
        "False False False ",
        "True False False ",
        "True False True ",
    ]


def test_function_calls_and_observations():
    given = [
        {"from": "human", "value": "Q"},
        {"from": "function_call", "value": '{"name": "f", "arguments": {"a": 1}}'},
        {"from": "observation", "value": "R"},
        {"from": "gpt", "value": "A"},
    ]
    messages = messages_of(given, ALIASES, {})
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant"]
    call = {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    assert messages[1] == {"role": "assistant", "content": "", "tool_calls": [call]}
    with pytest.raises(BadRecord, match="message 1"):
        messages_of([{"from": "function_call", "value": "no json"}], ALIASES, {})


def test_parts_with_values():
    given = [
        {"role": "user", "content": [{"type": "text", "value": "a"}, {"type": "text", "value": "b"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "reasoning", "value": "hm"},
                {"type": "text", "value": "c"},
                {"type": "tool_call", "value": '{"name": "f", "arguments": {}}'},
            ],
            "loss_weight": 0.5,
        },
        {
            "role": "user",
            "content": [{"type": "image_url", "value": "x.png"}, {"type": "text", "value": "d"}],
        },
    ]
    messages = messages_of(given, ALIASES, {})
    assert messages[0] == {"role": "user", "content": "ab"}
    assert messages[1]["content"] == "c" and messages[1]["reasoning_content"] == "hm"
    assert messages[1]["tool_calls"][0]["function"]["name"] == "f" and messages[1]["loss_weight"] == 0.5
    assert messages[2]["content"] == [
        {"type": "image_url", "image_url": "x.png"},
        {"type": "text", "text": "d"},
    ]


def test_roles_of_the_mapping():
    mapping = {"shape": "conversation", "messages": "m", "roles": {"alien": "user", "bot2": "assistant"}}
    rows = [
        {"m": [{"from": "alien", "value": "Q"}, {"from": "bot2", "value": "A"}]},
        {"m": [{"role": "alien", "content": "Q"}, {"role": "bot2", "content": "A"}]},
    ] * 4
    assert texts(mapping, rows) == ["[user|Q][assistant|A]"] * 8
    with pytest.raises(ConfigError, match="'alien' is mapped to 'martian'"):
        make({**mapping, "roles": {"alien": "martian"}})


def test_flat_records_with_a_chat_template():
    mapping = {"shape": "flat", "query": "q", "input": "i", "response": "r", "system": "s"}
    rows = [
        {"q": "Q", "r": "A\n"},
        {"q": "Q", "i": "I", "r": "A"},
        {"q": "Q", "i": "", "r": 1.5, "s": "S"},
        {"q": "é", "i": 'x"', "r": "A", "s": "S"},
        {"q": "Q"},
    ] * 3
    result = texts(mapping, rows)
    assert result[:5] == result[5:10] == result[10:]
    assert result[:4] == [
        "[user|Q][assistant|A\n]",
        "[user|Q\nI][assistant|A]",
        "[system|S][user|Q][assistant|1.5]",
        '[system|S][user|é\nx"][assistant|A]',
    ]
    assert result[4] == (Reason.MISSING_FIELD, "'r' is missing")


def test_conversations_with_a_built_in():
    mapping = {"shape": "conversation", "messages": "c", "tools": "t"}
    several = [*TURN, *TURN, *TURN]
    rows = [
        {"c": TURN},
        {"c": [{"from": "system", "value": ""}, *TURN]},
        {"c": [{"from": "system", "value": "S"}, *TURN]},
        {"c": several},
        {"c": TURN[:1]},
        {"c": [{"from": "human", "value": "Q", "x": 1}, TURN[1]]},
        {"c": TURN, "t": [{"name": "f"}]},
    ]
    result = texts(mapping, rows, kind="builtin", template="vicuna")
    good = "USER: Q\nASSISTANT: A"
    assert [result[0], result[1], result[5]] == [good] * 3
    assert result[2] == f"S\n\n{good}" and result[3] == "\n".join([good] * 3)
    assert result[4][0] == Reason.TEMPLATE_REFUSED and "last message" in result[4][1]
    assert result[6][0] == Reason.TEMPLATE_REFUSED and "tools" in result[6][1]


def pairs():
    question = {"role": "user", "content": "Q"}
    whole = {side: [question, {"role": "assistant", "content": side}] for side in "AB"}
    return [
        {"q": "Q", "c": "A", "r": "B"},
        {"q": "Q", "c": {"from": "gpt", "value": "A"}, "r": [{"role": "assistant", "content": "B"}]},
        {"q": "Q", "c": whole["A"], "r": whole["B"]},
        {"q": "Q", "c": whole["A"], "r": [{"role": "user", "content": "other"}, whole["B"][1]]},
        {"q": "Q", "c": "A"},
    ]


@pytest.mark.parametrize(
    ("kind", "template", "prompt"),
    [("jinja", SHOW, "[user|Q][assistant|"), ("builtin", "vicuna", "USER: Q\nASSISTANT: ")],
)
def test_preference(kind, template, prompt):
    mapping = {"shape": "preference", "query": "q", "chosen": "c", "rejected": "r"}
    result = render(make(mapping, "preference", kind, template), pairs())
    end = "]" if kind == "jinja" else ""
    assert result[:3] == [{"prompt": prompt, "chosen": "A" + end, "rejected": "B" + end}] * 3
    assert result[3] == (Reason.BAD_MESSAGES, "chosen and rejected answer different prompts")
    assert result[4] == (Reason.MISSING_FIELD, "'r' is missing")


def test_preference_after_a_conversation():
    mapping = {"shape": "preference", "messages": "m", "chosen": "c", "rejected": "r"}
    row = {"m": [*TURN, TURN[0]], "c": {"from": "gpt", "value": "A"}, "r": {"from": "gpt", "value": "B"}}
    prompt = "[user|Q][assistant|A][user|Q][assistant|"
    assert render(make(mapping, "preference"), [row]) == [
        {"prompt": prompt, "chosen": "A]", "rejected": "B]"}
    ]


def test_messages_form():
    mapping = {"shape": "conversation", "messages": "c", "system": "s", "tools": "t"}
    openai = '[{"role": "user",  "content": "Q"}, {"role":"assistant","content":"A","score":1E5}]'
    rows = [
        {"c": TURN, "s": 'S"'},
        {"c": json.loads(openai)},
        {"c": [{"from": "human", "value": "Q", "x": 1}], "t": "[1]"},
    ]
    result = render(make(mapping, "messages", "none"), rows)
    assert json.loads(result[0]["messages"]) == [
        {"role": "system", "content": 'S"'},
        {"role": "user", "content": "Q"},
        {"role": "assistant", "content": "A"},
    ]
    assert result[0]["tools"] == "null"
    assert json.loads(result[1]["messages"]) == json.loads(openai)
    assert json.loads(result[2]["messages"]) == [{"role": "user", "content": "Q", "x": 1}]
    assert result[2]["tools"] == "[1]"


def test_contents_for_checks():
    from forge_gpu.engine.cpu.engine import CpuEngine
    from forge_gpu.templates.values import text_of_span
    from tests.templates.chat_support import chunk

    mapping = {"shape": "conversation", "messages": "c"}
    rows: list[dict[str, Any]] = [
        {"c": TURN},
        {"c": [*TURN, {"from": "human", "value": "Q\n2"}, TURN[1]]},
        {"c": TURN[:1]},
        {"c": 1},
    ]
    rows.append({"c": [{"from": "human", "value": "X", "w": 1}, TURN[1]]})
    engine = CpuEngine()
    for form in ("text", "messages", "source"):
        renderer = make(mapping, form)
        bound = renderer.bind(chunk(rows, renderer, engine), engine)
        said = {role: [text_of_span(column, row) for row in range(5)] for role, column in bound.texts.items()}
        assert said["query"] == ["Q", "Q\nQ\n2", "Q", "", "X"]
        assert said["response"] == ["A", "A\nA", "", "", "A"]


def test_spans_of_what_the_assistant_wrote():
    mapping = {"shape": "conversation", "messages": "c"}
    talk = [{"from": "human", "value": "Qé"}, {"from": "gpt", "value": "A\n"}]
    thought = [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "<think>\nt\n</think>\n\nA"}]
    rows = [{"c": [*talk, *talk]}, {"c": thought}] * 4 + [{"c": [talk[0], {**talk[1], "w": 1}]}]
    required = {
        "chatml": [["A\n<|im_end|>"] * 2, ["<think>\nt\n</think>\n\nA<|im_end|>"]],
        "stripped_with_bos": [["A<|eot|>"] * 2, ["<think>\nt\n</think>\n\nA<|eot|>"]],
        "generation_tags": [["A<eos>"] * 2, ["<think>\nt\n</think>\n\nA<eos>"]],
        "thinking": [
            ["A\n<|im_end|>", "<think>\n\n</think>\n\nA\n<|im_end|>"],
            ["<think>\nt\n</think>\n\nA<|im_end|>"],
        ],
    }
    for name, expected in required.items():
        result = render(make(mapping, template=WRITTEN[name], spans=True), rows)
        shown = [[entry["text"][a:b] for a, b in json.loads(entry["spans"])] for entry in result]
        assert shown[:8] == expected * 4, name
        assert len(shown[8]) == 1 and shown[8][0].startswith(("A", "<think>")), name


def test_unknown_spans_are_null():
    mapping = {"shape": "conversation", "messages": "c"}
    result = render(make(mapping, template=WRITTEN["joined_contents"], spans=True), [{"c": TURN}])
    assert [row["spans"] for row in result] == ["null"]


def test_list_shape_names_its_columns():
    assert ListShape("m", {}, {}, system="s", tools="t").columns == ("m", "s", "t")
