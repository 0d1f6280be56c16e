"""Built-ins, format strings and rows without a template."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.config.schema import Config, DataConfig, Mapping, ModelConfig, OutputConfig
from forge_gpu.errors import ConfigError, TemplateError
from forge_gpu.fates import Reason
from forge_gpu.templates import format_string
from forge_gpu.templates.builtin import builtin, builtins
from forge_gpu.templates.choose import make_renderer
from forge_gpu.templates.program import Literal, Slot
from forge_gpu.templates.validate import validate_renderer, validate_template
from tests.templates.chat_support import render

EXACT = {
    "chatml": "<|im_start|>user\n{query}<|im_end|>\n<|im_start|>assistant\n{response}<|im_end|>",
    "llama": "<s>[INST] {query} [/INST] {response} </s>",
    "alpaca": "### Instruction:\n{query}\n\n### Response:\n{response}",
    "gemma": "<start_of_turn>user\n{query}<end_of_turn>\n<start_of_turn>model\n{response}<end_of_turn>",
    "vicuna": "USER: {query}\nASSISTANT: {response}",
}
FLAT: dict[str, Any] = {"shape": "flat", "query": "q", "response": "r"}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def make(mapping, form="text", kind="builtin", template="chatml", **model):
    model = {"template_kind": kind, "chat_template": template, **model}
    return make_renderer(
        Config(
            data=DataConfig(mapping=Mapping(**mapping)),
            model=ModelConfig(**model),
            output=OutputConfig(form=form),
        )
    )


def test_the_five_built_ins_are_exact():
    assert {name: entry.template for name, entry in builtins().items()} == EXACT


def test_unknown_built_in_names_the_nearest():
    with pytest.raises(TemplateError, match="did you mean 'alpaca'"):
        builtin("alpacca")


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5), st.sampled_from(sorted(EXACT)))
@settings(deadline=None, max_examples=60)
def test_built_in_equals_str_format(pairs, name):
    rows = [{"q": query, "r": response} for query, response in pairs]
    required = [{"text": EXACT[name].format(query=query, response=response)} for query, response in pairs]
    assert render(make(FLAT, template=name), rows) == required


@given(st.lists(TEXTS, min_size=3, max_size=3), TEXTS)
@settings(deadline=None, max_examples=60)
def test_format_string_equals_str_format(values, literal):
    template = literal.replace("{", "{{").replace("}", "}}") + "{a}{{{b c}}}" + "{a}" + "{é}"
    row = dict(zip(("a", "b c", "é"), values, strict=True))
    renderer = make({"shape": "columns"}, kind="format", template=template)
    assert render(renderer, [row]) == [{"text": template.format(**row)}]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{a!r}", r"line 1, column 1: '\{a!r\}' with a conversion is not allowed; write '\{a\}'"),
        ("x\ny {a:>10}", "line 2, column 3: .*format specification"),
        ("{a.b}", "an attribute"),
        ("{a[0]}", "an index"),
        ("{}", "an empty"),
        ("{0}", "a position"),
        ("{ a }", "with spaces"),
        ("{a", "a '{' without its '}'; write|without its"),
        ("a}", "a single '}'"),
        ("{a{b}}", "inside braces"),
        ("{a}\ud800", "half a surrogate pair"),
    ],
)
def test_anything_else_in_braces_is_refused(template, message):
    with pytest.raises(TemplateError, match=message):
        format_string.parse(template)


def test_parsed():
    assert format_string.parse("{{{a}}}") == (Literal(b"{"), Slot("a"), Literal(b"}"))
    assert format_string.parse("") == ()


def test_input_follows_query_after_a_newline():
    mapping = {**FLAT, "input": "i"}
    rows = [{"q": "Q", "r": "R", **more} for more in ({"i": "I"}, {"i": ""}, {"i": None}, {}, {"i": 0})]
    texts = [entry["text"] for entry in render(make(mapping, template="vicuna"), rows)]
    queries = ["Q\nI", "Q", "Q", "Q", "Q\n0"]
    assert texts == [f"USER: {query}\nASSISTANT: R" for query in queries]


def test_values_that_are_no_text():
    rows: list[dict[str, Any]] = [
        {"q": 12, "r": 1.50},
        {"q": [1, {"a": None}], "r": "x"},
        {"q": True, "r": {}},
    ]
    assert render(make(FLAT, template="vicuna"), rows) == [
        {"text": "USER: 12\nASSISTANT: 1.5"},
        (Reason.NOT_A_TEXT, "'q' is a list, not a text"),
        (Reason.NOT_A_TEXT, "'r' is an object, not a text"),
    ]


def test_null_and_missing():
    rows: list[dict[str, Any]] = [{"q": None, "r": "x"}, {"r": "x"}, {"q": "x"}, {"q": "", "r": ""}]
    result = render(make(FLAT), rows)
    assert result[:3] == [
        (Reason.NULL_FIELD, "'q' is null"),
        (Reason.MISSING_FIELD, "'q' is missing"),
        (Reason.MISSING_FIELD, "'r' is missing"),
    ]
    assert result[3]["text"] == EXACT["chatml"].format(query="", response="")


def test_append_eos():
    texts = {}
    for name in EXACT:
        (result,) = render(make(FLAT, template=name, append_eos=True), [{"q": "Q", "r": "R"}])
        texts[name] = result["text"].removeprefix(EXACT[name].format(query="Q", response="R"))
    assert texts == {
        "chatml": "<|endoftext|>",
        "llama": "",
        "alpaca": "</s>",
        "gemma": "<eos>",
        "vicuna": "</s>",
    }
    own = make(FLAT, append_eos=True, special_tokens={"eos_token": "<end>"})
    assert render(own, [{"q": "Q", "r": "R"}])[0]["text"].endswith("<|im_end|><end>")
    with pytest.raises(TemplateError, match="eos_token"):
        make({"shape": "columns"}, kind="format", template="{a}", append_eos=True)


def test_prompt_and_completion():
    (result,) = render(make(FLAT, "prompt_completion"), [{"q": "Q", "r": "R"}])
    assert result == {
        "prompt": "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n",
        "completion": "R<|im_end|>",
    }
    (result,) = render(make(FLAT, "prompt_completion", kind="none"), [{"q": "Q", "r": "R"}])
    assert result == {"prompt": "Q", "completion": "R"}


def test_messages_of_flat_rows():
    mapping = {**FLAT, "input": "i", "system": "s"}
    rows = [{"q": 'a"\n', "r": "\\", "i": "é"}, {"q": "Q", "r": "R", "s": "S"}]
    result = [json.loads(entry["messages"]) for entry in render(make(mapping, "messages"), rows)]
    assert result == [
        [{"role": "user", "content": 'a"\n\né'}, {"role": "assistant", "content": "\\"}],
        [
            {"role": "system", "content": "S"},
            {"role": "user", "content": "Q"},
            {"role": "assistant", "content": "R"},
        ],
    ]


def test_a_built_in_takes_a_system_message_where_there_is_one():
    mapping = {**FLAT, "system": "s"}
    result = render(make(mapping), [{"q": "Q", "r": "R", "s": "S"}, {"q": "Q", "r": "R", "s": ""}])
    one_turn = EXACT["chatml"].format(query="Q", response="R")
    assert result[0]["text"] == f"<|im_start|>system\nS<|im_end|>\n{one_turn}"
    assert result[1]["text"] == one_turn


def test_text():
    mapping = {"shape": "text", "text": "t"}
    assert render(make(mapping, kind="none"), [{"t": "x\n"}]) == [{"text": "x\n"}]
    with pytest.raises(TemplateError, match="no turns"):
        make(mapping)


def test_source_renders_nothing():
    renderer = make(FLAT, "source")
    assert renderer.fields == ()
    assert render(renderer, [{"q": "Q", "r": "R"}, {"q": "Q"}])[1][0] == Reason.MISSING_FIELD


@pytest.mark.parametrize(
    ("mapping", "form", "kind", "error"),
    [
        ({"shape": "flat", "query": "q"}, "text", "builtin", ConfigError),
        ({"shape": "flat", "query": "q", "response": "r"}, "preference", "builtin", ConfigError),
        (
            {"shape": "preference", "query": "q", "chosen": "c", "rejected": "r"},
            "text",
            "builtin",
            ConfigError,
        ),
        ({"shape": "flat", "query": "q", "response": "r"}, "text", "none", TemplateError),
        ({"shape": "text", "text": "t"}, "messages", "none", ConfigError),
        ({"shape": "columns"}, "text", "jinja", ConfigError),
    ],
)
def test_what_does_not_go_together(mapping, form, kind, error):
    with pytest.raises(error) as raised:
        make(mapping, form, kind)
    assert "\n" not in str(raised.value)


def test_validate_template():
    assert validate_template("{question} {answer}", ["answer", "question", "id"]) == ("question", "answer")
    with pytest.raises(TemplateError, match="no column is named 'questoin', did you mean 'question'"):
        validate_template("{questoin} {answer}", ["answer", "question"])
    with pytest.raises(TemplateError, match="there are answer"):
        validate_template("{zzz}", ["answer"])
    config = Config(
        data=DataConfig(mapping=Mapping(**FLAT)),
        model=ModelConfig(template_kind="builtin", chat_template="llama"),
    )
    validate_renderer(config, ["q", "r", "x"])
    with pytest.raises(TemplateError, match="'r'"):
        validate_renderer(config, ["q", "x"])


def test_kept_columns_do_not_hide_made_ones():
    """A record's own key called as a made column would be stays apart from it."""
    mapping = {"shape": "conversation", "messages": "m"}
    rows = [{"m": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "query": "x"}]
    renderer = make(mapping, template="vicuna")
    assert render(renderer, rows) == [{"text": "USER: a\nASSISTANT: b"}]
