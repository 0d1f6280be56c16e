"""`--debug` leaves a private file with what helps to find a fault: no rows, and nothing secret."""

from __future__ import annotations

import json
import stat
import zipfile

import pytest

from forge_gpu.cli import app
from tests.job import jobs

ROW = "the text of a row"
KEYS = ["plantedkey1", "plantedkey2", "plantedkey3"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rows = jobs.rows(50)
    rows[3]["instruction"] = ROW
    rows[5] = {"instruction": ROW, "output": None}
    config = jobs.plan(jobs.write_lines(tmp_path / "rows.jsonl", rows))
    config = config.model_copy(update={"goal": f"with {KEYS[0]}"})
    (tmp_path / "forge.yaml").write_text(json.dumps(config.model_dump(mode="json")))
    monkeypatch.setenv("DB_PASSWORD", KEYS[0])
    monkeypatch.setenv("FORGE_API_KEY", KEYS[1])
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    return app._run(list(arguments), debug=True)


def members(folder):
    path = folder / "forge-debug.zip"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name).decode() for name in file.namelist()}


def test_a_run_leaves_plan_manifest_events_versions_and_doctor(folder, capsys):
    assert run("prepare") == 0
    assert "left forge-debug.zip" in capsys.readouterr().err
    result = members(folder)
    always = {"about.txt", "command.json", "versions.json", "doctor.txt"}
    assert set(result) == always | {"events.jsonl", "plan.yaml", "manifest.json"}
    kinds = [json.loads(line)["event"] for line in result["events.jsonl"].splitlines()]
    assert kinds[-1] == "JobEnded" and "JobStarted" in kinds
    assert json.loads(result["manifest.json"])["counts"]["rejected"] == 1
    assert "numpy" in json.loads(result["versions.json"])["packages"] and "Optional" in result["doctor.txt"]
    text = "".join(result.values())
    assert ROW not in text and not any(key in text for key in KEYS) and "with ***" in text


def test_a_failed_run_leaves_where_it_failed_and_no_row(folder, capsys):
    assert run("prepare", "--strict", f"http://me:{KEYS[2]}@127.0.0.1:9/x.jsonl", "--output", "a") == 2
    assert "error:" in capsys.readouterr().err
    assert "InputError" in members(folder)["error.txt"] and 'File "' in members(folder)["error.txt"]
    assert run("prepare", "--strict") == 2
    result = members(folder)
    assert json.loads(result["command.json"])["exit_code"] == 2
    assert "StrictError: " in result["error.txt"] and "is rejected: null_field" in result["error.txt"]
    text = "".join(result.values())
    assert ROW not in text and not any(key in text for key in KEYS)


def test_what_is_no_bundle_is_never_overwritten(folder, capsys):
    (folder / "forge-debug.zip").write_text("mine")
    assert run("doctor") == 2
    assert "Forge did not write it" in capsys.readouterr().err
    assert (folder / "forge-debug.zip").read_text() == "mine"
    (folder / "forge-debug.zip").unlink()
    assert run("doctor") == 0 and run("doctor") == 0
    assert "error.txt" not in members(folder)
