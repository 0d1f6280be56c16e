"""What a plan asks the model's own template, prints, and does about it."""

import datetime
import json

import pytest

from forge_gpu.config.load import load
from forge_gpu.errors import TemplateError
from forge_gpu.job.state.checkpoint import JobKey
from forge_gpu.planner.describe import describe
from forge_gpu.planner.plan import make_plan

WRITES_ALL = (
    "{{ bos_token }}{% if tools %}[{{ tools | tojson }}]{% endif %}"
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}"
)
DROPS = (
    "{% for m in messages if m.role != 'system' %}<{{ m.role }}>"
    "{{ m.content if loop.last else m.content.split('</think>')[-1] }}{% endfor %}"
)
DATED = "{{ strftime_now('%d %b %Y') }}" + WRITES_ALL


def model(folder, template):
    place = folder / "model"
    place.mkdir()
    (place / "config.json").write_text("{}")
    (place / "chat_template.jinja").write_text(template)
    (place / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>"}))
    return place


def planned(folder, template, messages, **more):
    data = folder / "a.jsonl"
    records = [{"messages": messages, **more.pop("beside", {})}] * 4
    data.write_text("".join(json.dumps(record) + "\n" for record in records))
    return make_plan(data=data, model=model(folder, template), environ={}, folder=folder, **more)


def turns(*contents, system=None):
    said = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(contents)]
    return [{"role": "system", "content": system}, *said] if system else said


def printed(plan):
    return dict(describe(plan)).get("What the chat template does")


def test_the_probes_are_printed(tmp_path):
    plan = planned(tmp_path, WRITES_ALL, turns("Q", "A"))
    assert printed(plan) == [
        "writes BOS itself: the tokenizer must not add another",
        "takes a system message",
        "takes tools",
        "lets user and assistant follow in any order",
        "ends the assistant's turn with '<end>'",
        "has no generation tags: spans are found by the turns that it writes",
        "prefix-preserving: later turns leave the text of earlier ones as it was",
    ]
    assert not plan.notes
    plan.save(tmp_path / "forge.yaml")
    comments = " ".join((tmp_path / "forge.yaml").read_text().replace("#", "").split())
    assert "the template writes bos_token itself: the tokenizer must not add another" in comments


def test_what_the_data_has_and_the_template_drops_is_told(tmp_path):
    said = turns("Q", "<think>x</think>A", "Q", "<think>y</think>A", system="Be kind.")
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    plan = planned(tmp_path, DROPS, said, beside={"tools": tools})
    assert "drops a system message" in printed(plan)
    for what in ("drops the system message", "takes no tools", "drops the thinking of earlier turns"):
        assert any(f"the chat template {what}: 4 of 4 conversations" in note for note in plan.notes), what
    assert any("writes no end of turn after the assistant" in note for note in plan.notes)


def test_nothing_is_told_of_what_the_data_does_not_have(tmp_path):
    plan = planned(tmp_path, DROPS.replace("{% endfor %}", "<end>{% endfor %}"), turns("Q", "A"))
    assert not plan.notes


def test_a_built_in_is_not_asked(tmp_path):
    data = tmp_path / "a.jsonl"
    data.write_text('{"question": "Q", "answer": "A"}\n')
    plan = make_plan(data=data, template="chatml", environ={})
    assert plan.probes is None and printed(plan) is None


def test_the_date_is_fixed_recorded_and_part_of_the_checkpoint(tmp_path):
    plan = planned(tmp_path, DATED, turns("Q", "A"))
    assert plan.config.model.date == datetime.date.today().isoformat()
    assert any("the date" in line for line in printed(plan))
    assert any(line.startswith(f"date: {plan.config.model.date} (") for line in dict(describe(plan))["Plan"])
    plan.save(tmp_path / "forge.yaml")
    text = (tmp_path / "forge.yaml").read_text()
    assert "# the template writes the date: this one, whenever prepare runs\n  date: " in text
    today, other = (
        load(tmp_path / "forge.yaml", {}, overrides).config for overrides in ((), ["model.date=2024-07-26"])
    )
    assert other.model.date == "2024-07-26"
    key = JobKey.of(today, [], None)
    assert key.difference(JobKey.of(other, [], None).__dict__) == "settings that affect the output"


def test_a_date_that_is_set_stays(tmp_path):
    plan = planned(tmp_path, DATED, turns("Q", "A"), overrides=["model.date=2024-07-26"])
    assert plan.config.model.date == "2024-07-26"


def test_a_template_that_is_not_written_may_be_broken(tmp_path):
    plan = planned(tmp_path, "{% if %}", turns("Q", "A"), overrides=["output.form=messages"])
    assert any("it is not used for the form 'messages'" in note for note in plan.notes)


def test_a_template_that_is_written_may_not(tmp_path):
    with pytest.raises(TemplateError, match="line 1"):
        planned(tmp_path, "{% if %}", turns("Q", "A"))
