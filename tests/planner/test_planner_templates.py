"""Where a chat template and its special tokens come from."""

import json

import pytest

from forge_gpu.errors import ConfigError, TemplateError
from forge_gpu.planner.plan import make_plan

TEMPLATE = "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}{% endfor %}"
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
SET = [f"model.special_tokens.{name}={text}" for name, text in TOKENS.items()]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"question": "Q", "answer": "A"}\n')
    (tmp_path / "own.jinja").write_text(TEMPLATE)
    place = tmp_path / "model"
    place.mkdir()
    (place / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE, **TOKENS}))
    (place / "config.json").write_text("{}")
    return tmp_path


def planned(files, **arguments):
    return make_plan(data=files / "a.jsonl", environ={}, **arguments).config.model


def test_a_template_without_its_model_takes_no_other_models_tokens(files):
    with pytest.raises(
        TemplateError, match=r"own\.jinja: the template writes bos_token and eos_token, .*--model"
    ):
        planned(files, template=files / "own.jinja")
    with pytest.raises(
        TemplateError, match=r"writes eos_token, .*--set model\.special_tokens\.eos_token=TEXT"
    ):
        planned(files, template=files / "own.jinja", overrides=SET[:1])
    assert planned(files, template=files / "own.jinja", overrides=SET).special_tokens == TOKENS


def test_a_template_with_its_models_folder_takes_those_of_the_folder(files):
    model = planned(files, template=files / "own.jinja", model=files / "model")
    assert (model.special_tokens, model.template_source) == (TOKENS, str(files / "own.jinja"))


@pytest.mark.parametrize("tokens", [{}, {"eos_token": None}, {"bos_token": "<s>", "eos_token": {"id": 2}}])
def test_a_folder_of_a_template_alone_takes_no_tokens_from_elsewhere(files, tokens):
    """Nor does one whose files do not tell them."""
    folder = files / "bare"
    folder.mkdir()
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    if tokens:
        (folder / "tokenizer_config.json").write_text(json.dumps(tokens))
    with pytest.raises(TemplateError, match=r"writes .*eos_token, which only its model's tokenizer_config"):
        planned(files, model=folder)
    assert planned(files, model=folder, overrides=SET).special_tokens == TOKENS


def test_a_template_that_writes_no_token_needs_none(files):
    plain = "{% for m in messages %}{{ m.content }}{% endfor %}"
    assert planned(files, template=plain).special_tokens == {}


def test_a_token_may_be_no_text_at_all(files):
    overrides = ["model.special_tokens.bos_token=", SET[1]]
    tokens = planned(files, template=files / "own.jinja", overrides=overrides).special_tokens
    assert tokens == {"bos_token": "", "eos_token": "</s>"}


@pytest.mark.parametrize("option", ["template", "model"])
def test_a_tokenizer_config_is_read_as_what_it_is(files, option):
    model = planned(files, **{option: files / "model" / "tokenizer_config.json"})
    assert (model.template_kind, model.chat_template, model.special_tokens) == ("jinja", TEMPLATE, TOKENS)


@pytest.mark.parametrize(
    ("value", "reported"),
    [
        (None, "it has none; write"),
        (
            [{"name": "a", "template": "x"}, {"name": "b", "template": "y"}],
            r"it has chat templates \(a, b\), none the",
        ),
        (7, "chat_template must be a text, or a list"),
    ],
)
def test_a_tokenizer_config_without_the_template_is_refused(files, value, reported):
    path = files / "tokenizer_config.json"
    path.write_text(json.dumps({"chat_template": value}))
    with pytest.raises(Exception, match=reported):
        planned(files, template=path)


def test_one_of_a_list_of_named_templates_is_the_default(files):
    path = files / "tokenizer_config.json"
    named = [{"name": "tool_use", "template": "T"}, {"name": "default", "template": TEMPLATE}]
    path.write_text(json.dumps({"chat_template": named, **TOKENS}))
    both = f"{{% if tools is none %}}\n{TEMPLATE}{{%+ else %}}\nT{{%+ endif %}}"
    assert planned(files, template=path).chat_template == both


def test_one_of_the_models_own_is_taken_by_its_name(files):
    more = files / "model" / "additional_chat_templates"
    more.mkdir()
    (files / "model" / "chat_template.jinja").write_text(TEMPLATE)
    (more / "rag.jinja").write_text("rag " + TEMPLATE)
    model = planned(files, template="rag", model=files / "model")
    assert (model.chat_template, model.template_kind) == ("rag " + TEMPLATE, "jinja")
    assert (model.special_tokens, model.template_source) == (TOKENS, str(more / "rag.jinja"))
    assert planned(files, template="default", model=files / "model").chat_template == TEMPLATE
    assert planned(files, template="chatml", model=files / "model").template_kind == "builtin"
    with pytest.raises(TemplateError, match="rug"):
        planned(files, template="rug", model=files / "model")


@pytest.mark.parametrize("option", ["model", "template"])
def test_an_empty_name_is_refused(files, option):
    with pytest.raises(ConfigError, match=f"--{option}: is empty"):
        planned(files, **{option: " "})


def test_a_template_that_is_not_valid_is_named(files):
    (files / "own.jinja").write_text("{% for %}")
    with pytest.raises(TemplateError, match=r"own\.jinja: the chat template, line 1: "):
        planned(files, template=files / "own.jinja")
