"""In a notebook: a bar below the cell, and results that show themselves."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient

import forge_gpu
from forge_gpu.report.notebook import is_notebook
from tests.job import jobs

HOSTILE = "<img src=x onerror=alert(1)>"


def data_of(cell, kind="text/html"):
    return [output["data"][kind] for output in cell["outputs"] if kind in output.get("data", {})]


@pytest.mark.slow
def test_a_notebook_has_a_bar_and_results_that_show_themselves(tmp_path):
    rows = jobs.rows(300)
    rows[9] = {"instruction": HOSTILE}
    rows[10]["instruction"] = HOSTILE
    source = jobs.write_lines(tmp_path / "rows.jsonl", rows)
    (tmp_path / "empty.jsonl").write_text("")
    config = jobs.plan(source, tmp_path / "empty.jsonl", output={"columns": ["category"]})
    (tmp_path / "plan.json").write_text(config.model_dump_json())
    cells = [
        "import forge_gpu\nfrom forge_gpu.config.schema import Config\n"
        "config = Config.model_validate_json(open('plan.json').read())\n"
        "result = forge_gpu.prepare(config, output='out')",
        "result",
        "result.splits['train']",
        "forge_gpu.prepare(config, output='quiet', progress=False)\nNone",
        "forge_gpu.plan('a goal', data='rows.jsonl', template='chatml')",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    bar, result, split, quiet, plan = notebook["cells"]
    [shown] = data_of(bar)
    for stage in ("open", "index", "decide", "write", "finish", "verify"):
        assert f">{stage}</td>" in shown
    assert shown.count("value='1.000'") >= 6 and "has no rows" in shown
    assert data_of(quiet) == []
    [reported] = data_of(result)
    assert (
        "<td>train</td>" in reported and "rejected: 1 missing_field" in reported and "report.html" in reported
    )
    [first] = data_of(split)
    assert "<th>text</th><th>category</th>" in first and "&lt;|im_start|&gt;" in first
    assert "<b>" in data_of(plan)[0] and "chatml" in data_of(plan)[0]
    for text in (shown, reported, first, data_of(plan)[0]):
        assert "<img" not in text


def test_outside_of_a_notebook_there_is_no_bar(tmp_path, capsys):
    assert not is_notebook()
    source = jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(20))
    forge_gpu.prepare(jobs.plan(source), output=tmp_path / "out", progress=True)
    assert capsys.readouterr() == ("", "")
