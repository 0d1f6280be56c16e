"""A form of the output is one object: a new one is a file and a line of registration, and a job writes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pytest

from forge_gpu.config.rules import broken
from forge_gpu.config.schema import Config, OutputConfig
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.errors import ConfigError
from forge_gpu.hardware.budget import Budget
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.job.streaming import stream
from forge_gpu.templates.choose import make_renderer
from forge_gpu.templates.fields import ColumnsRenderer
from forge_gpu.templates.forms import FORMS
from forge_gpu.templates.forms.base import Form
from forge_gpu.templates.lines import Field
from forge_gpu.templates.program import Literal, Program, Slot
from forge_gpu.templates.renderer import Renderer
from forge_gpu.templates.shapes.base import RecordShape
from tests.job import jobs


class Quiz(Form):
    """A form that Forge does not have: the answer, and the question in a list."""

    name = "quiz"

    def fields(self, config: Config) -> tuple[Field, ...]:
        return (Field("answer", may_be_empty=False), Field("asked", "json"))

    def misfit(self, shape: RecordShape) -> str | None:
        return None if shape.name == "flat" else f"a quiz is made of flat records, not {shape.name}"

    def renderer(self, config: Config) -> Renderer:
        query, response = config.data.mapping.query or "", config.data.mapping.response or ""
        templates: dict[str, Program] = {
            "answer": (Slot(response),),
            "asked": (Literal(b'["'), Slot(query), Literal(b'"]')),
        }
        contents = {"query": query, "response": response}
        return ColumnsRenderer(
            templates, (query, response), contents=contents, json_fields=frozenset({"asked"})
        )


@pytest.fixture
def quiz(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMS, "quiz", Quiz())


def quiz_plan(source: Path, columns: Sequence[str] = (), **mapping: str) -> Config:
    checks = {"empty": "off", "too_short": "off"}
    config = jobs.plan(
        source,
        data={"inputs": [str(source)], "mapping": mapping or {"query": "q", "response": "a"}},
        preprocessing={"quality_checks": checks, "train_split": 1, "validation_split": 0},
    )
    output = OutputConfig.model_construct(
        **config.output.model_dump() | {"form": "quiz", "columns": list(columns)}
    )
    return config.model_copy(update={"output": output})


RECORDS = [
    {"q": 'say "hi"', "a": "hi\n", "id": 1},
    {"q": "nothing", "a": "", "id": 2},
    {"q": 'say "hi"', "a": "hi\n", "id": 3},
    {"q": "ça va", "a": "", "id": 4},
    {"q": "ça va", "a": "oui", "id": 5},
]
WRITTEN = [{"answer": "hi\n", "asked": ['say "hi"'], "id": 1}, {"answer": "oui", "asked": ["ça va"], "id": 5}]


@pytest.mark.usefixtures("quiz")
@pytest.mark.parametrize("format", ["jsonl", "parquet"])
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_a_job_writes_a_form_that_is_registered(tmp_path: Path, format: str) -> None:
    config = quiz_plan(jobs.write_lines(tmp_path / "rows.jsonl", RECORDS), ["id"])
    config = config.model_copy(update={"output": config.output.model_copy(update={"format": format})})
    result = jobs.run(config, tmp_path / "out")
    manifest = result.manifest
    assert result.counts["train"] == 2 and result.counts["duplicate"] == 1
    assert manifest["rejected"] == {"empty_text": 2}
    assert manifest["columns"] == {"answer": "string", "asked": "json", "id": "int64"}
    assert manifest["verified"]["fields"] == ["answer", "asked"]
    if format == "jsonl":
        assert jobs.read_lines(tmp_path / "out" / "train.jsonl") == WRITTEN


@pytest.mark.usefixtures("quiz")
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_a_registered_form_is_streamed_and_has_its_rules(tmp_path: Path) -> None:
    source = jobs.write_lines(tmp_path / "rows.jsonl", RECORDS)
    spec = JobSpec(quiz_plan(source), tmp_path, tmp_path / "out")
    budget = Budget(2**24, 1, 4096, "a test")
    batches = stream(spec, budget, CpuEngine, "train", 100, lambda event: None)
    assert [row["answer"] for batch in batches for row in batch.to_pylist()] == ["hi\n", "oui"]
    faults = [fault for _, fault in broken(quiz_plan(source, ["asked"]), ())]
    assert faults == ["'asked' is a field that the form quiz writes already; leave the column out"]
    with pytest.raises(ConfigError, match="a quiz is made of flat records, not text"):
        make_renderer(quiz_plan(source, shape="text", text="q"))


def test_the_schema_names_the_forms_that_are_registered() -> None:
    assert get_args(OutputConfig.model_fields["form"].annotation) == tuple(FORMS)
    assert all(form.name == name for name, form in FORMS.items())


TURN = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
ECHO = "{% for m in messages %}{{ m.content }}{% endfor %}"


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_tools_that_some_records_lack_are_null(tmp_path: Path, format: str) -> None:
    """Such rows read back: the field is there."""
    records: list[dict[str, Any]] = [
        {"m": TURN, "t": [{"name": "f"}]},
        {"m": [*TURN, *TURN], "t": None},
        {"m": TURN},
    ]
    source = jobs.write_lines(tmp_path / "rows.jsonl", records)
    mapping = {"shape": "conversation", "messages": "m", "tools": "t"}
    config = jobs.plan(source, data={"mapping": mapping}, output={"form": "messages", "format": format})
    result = jobs.run(config, tmp_path / "out")
    assert result.counts["train"] + result.counts["validation"] == 3
    assert result.manifest["verified"]["fields"] == ["messages", "tools"]


@pytest.mark.parametrize("spans", [False, True])
def test_an_empty_text_is_refused_whatever_stands_beside_it(tmp_path: Path, spans: bool) -> None:
    empty = [{**message, "content": ""} for message in TURN]
    source = jobs.write_lines(tmp_path / "rows.jsonl", [{"m": empty}, {"m": TURN}])
    config = jobs.plan(
        source,
        data={"mapping": {"shape": "conversation", "messages": "m"}},
        model={"template_kind": "jinja", "chat_template": ECHO},
        preprocessing={"quality_checks": {"empty": "off", "too_short": "off"}},
        output={"spans": spans},
    )
    assert jobs.run(config, tmp_path / "out").manifest["rejected"] == {"empty_text": 1}
