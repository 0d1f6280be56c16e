"""How a table of text is written stands in the plan, and prepare reads it so."""

from __future__ import annotations

from pathlib import Path

import pytest

import forge_gpu
from forge_gpu.config.load import load
from forge_gpu.errors import ConfigError

ROWS = [f"What is {i};{i}, it is" for i in range(9)]


def queries(folder: Path) -> set[str]:
    lines = [line for path in folder.glob("*.jsonl") for line in path.read_text().splitlines()]
    return {line.split("What is ")[1].split("\\n")[0].split("<")[0] for line in lines if "What is " in line}


def test_plan_fixes_the_dialect_and_prepare_reads_by_it(tmp_path: Path) -> None:
    file = tmp_path / "f.csv"
    file.write_text("sep=;\nquestion;answer\n" + "\n".join(ROWS) + "\n")
    plan = forge_gpu.plan(data=file, template="chatml")
    assert plan.config.data.dialect is not None and plan.config.data.dialect.delimiter == ";"
    assert plan.config.data.dialect.quote == '"' and plan.config.data.dialect.header
    plan.save(tmp_path / "forge.yaml")
    assert load(tmp_path / "forge.yaml").config == plan.config
    # By its content alone, this file has commas between fields.
    file.write_text("question;answer\n" + "".join(f"{row},a,b,c\n" for row in ROWS).replace(";", ";,,"))
    result = forge_gpu.prepare(plan.config, output=tmp_path / "out")
    assert result.counts["rejected"] == 0 and sum(result.counts.values()) == 9


def test_the_user_says_how_a_table_is_written(tmp_path: Path) -> None:
    file = tmp_path / "f.csv"
    file.write_text("'question'|'answer'\n'What is | this?'|'that'\n'What is 2|3?'|'5'\n")
    settings = ["data.dialect.delimiter=|", "data.dialect.quote='"]
    plan = forge_gpu.plan(data=file, template="chatml", settings=settings)
    assert plan.data.rows == 2 and "question" in plan.data.columns
    assert plan.config.data.dialect is not None and plan.config.data.dialect.quote == "'"
    with pytest.raises(ConfigError, match=r"data\.dialect\.delimiter"):
        forge_gpu.plan(data=file, template="chatml", settings=["data.dialect.delimiter=||"])


def test_a_plan_without_a_dialect_tells_it_from_the_content(tmp_path: Path) -> None:
    file = tmp_path / "f.csv"
    file.write_text("question;answer\n" + "\n".join(ROWS) + "\n")
    config = forge_gpu.plan(data=file, template="chatml").config
    data = config.data.model_copy(update={"dialect": None})
    old = config.model_copy(update={"data": data})
    results = [forge_gpu.prepare(each, output=tmp_path / name) for each, name in ((config, "a"), (old, "b"))]
    assert results[0].counts == results[1].counts
    assert queries(tmp_path / "a") == queries(tmp_path / "b")


def test_several_dialects_are_told_of(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question;answer\n" + "\n".join(ROWS) + "\n")
    (tmp_path / "b.csv").write_text("question,answer\nWhat is one,a number\nWhat is x,a letter\n")
    plan = forge_gpu.plan(data=tmp_path, template="chatml")
    assert plan.config.data.dialect is None and any("in several ways" in note for note in plan.notes)


@pytest.mark.parametrize("which", ["both", "the answer"])
def test_a_quote_that_stays_open_costs_its_record_where_fields_are_quoted(tmp_path: Path, which: str) -> None:
    def line(number: int, end: str = '"') -> str:
        question = f'"ask {number}"' if which == "both" else f"ask {number}"
        return f'{question},"What is {number}, then?{end}\n'

    file = tmp_path / "f.csv"
    lines = [line(number, "" if number == 20 else '"') for number in range(60)]
    file.write_text("question,answer\n" + "".join(lines))
    config = forge_gpu.plan(data=file, template="chatml").config
    assert config.data.dialect is not None and config.data.dialect.quote == '"'
    result = forge_gpu.prepare(config, output=tmp_path / "out")
    assert result.manifest["rejected"] == {"wrong_field_count": 1} and result.manifest["rows"] == 60
    (tmp_path / "out" / "rejected.jsonl").unlink()
    assert queries(tmp_path / "out") == {f"{number}, then?" for number in range(60) if number != 20}


def test_quotes_that_stand_around_nothing_are_text(tmp_path: Path) -> None:
    file = tmp_path / "f.csv"
    lines = [f'"Well" she said {number},What is {number}\n' for number in range(30)]
    file.write_text("question,answer\n" + "".join(lines) + '5" wide,What is it\n')
    config = forge_gpu.plan(data=file, template="chatml").config
    assert config.data.dialect is not None and config.data.dialect.quote is None
    result = forge_gpu.prepare(config, output=tmp_path / "out")
    assert result.counts["rejected"] == 0 and result.manifest["rows"] == 31
