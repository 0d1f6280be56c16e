"""`forge template show`, `render` and `check`."""

import json

import pytest
from typer.testing import CliRunner

from forge_gpu.cli.template import app
from forge_gpu.errors import InputError, TemplateError
from forge_gpu.kernels.layout import Spans

TEMPLATE = "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}<end>{% endfor %}"


@pytest.fixture
def plan(tmp_path, monkeypatch):
    rows = [
        {"messages": [{"role": "user", "content": f" Q{n}"}, {"role": "assistant", "content": "A"}], "x": n}
        for n in range(20)
    ]
    rows += [{"messages": None}, {"messages": [{"role": "user", "content": "Q", "name": "Ann"}]}]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = {"template_kind": "jinja", "chat_template": TEMPLATE, "special_tokens": {"bos_token": "<s>"}}
    mapping = {"shape": "conversation", "messages": "messages"}
    config = {"version": 1, "data": {"inputs": ["data.jsonl"], "mapping": mapping}, "model": model}
    (tmp_path / "forge.yaml").write_text(json.dumps(config))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_show(plan):
    output = run("show")
    assert "writes BOS itself" in output and "ends the assistant's turn with '<end>'" in output
    assert "22 rows" in output and "21 by compiled programs" in output and "1 refused" in output
    assert "20 rows: '<s><user>' {0: content|strip} '<end><assistant>' {1: content|strip} '<end>'" in output
    assert "1 rows: null_field: 'messages' is null" in output


def test_render(plan):
    output = run("render", "2")
    assert "<s><user>Q1<end><assistant>A<end>" in output and "the same" in output
    assert "refused" in run("render", "21")
    with pytest.raises(InputError, match="there is no row 23: the input has 22"):
        run("render", "23")


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("--set", "output.form=prompt_completion"),
        ("--set", "output.form=messages"),
        ("--set", "model.template_kind=builtin", "--set", "model.chat_template=vicuna"),
    ],
)
def test_check(plan, settings):
    output = run("check", *settings)
    assert "22 rows:" in output and "0 different" in output
    equal, refused = (int(part.split()[0]) for part in output.split("rows: ")[1].split(", ")[:2])
    assert equal + refused == 22 and equal >= 20


def test_check_stops_at_a_difference(plan, monkeypatch):
    from forge_gpu.templates.tracing import columns

    def cut_to_nothing(name, arguments, column, at):
        at = slice(None) if at is None else at
        return Spans(column.data, column.start[at], column.length[at] * 0, column.kind[at])

    monkeypatch.setattr(columns, "cut_in_place", cut_to_nothing)
    monkeypatch.setattr("forge_gpu.templates.guard._due", lambda before, rows: [])
    with pytest.raises(TemplateError, match=r"row 1: .*differs from Jinja"):
        run("check")


def test_other_data_and_no_plan(plan):
    (plan / "other.jsonl").write_text('{"messages":[{"role":"user","content":"Z"}]}\n')
    assert "<s><user>Z<end>" in run("render", "1", "other.jsonl")
    from forge_gpu.errors import NoPlanError

    with pytest.raises(NoPlanError):
        run("show", "--config", "nowhere.yaml")
