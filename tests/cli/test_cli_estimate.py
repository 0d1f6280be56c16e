"""`forge estimate`, and what `forge plan` says of it at its end."""

from __future__ import annotations

import json

import pytest

from forge_gpu.cli.app import _run
from forge_gpu.hardware.rates import Launch
from tests.foretell import made


@pytest.fixture
def planned(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORGE_RATES", str(tmp_path / "rates.json"))
    seen = Launch(seconds=1.5, cpu=0.5, seen=0)
    monkeypatch.setattr("forge_gpu.foretell.launch.seen_now", lambda config: seen)
    made.write(tmp_path / "a.jsonl", 150)
    assert _run(["plan", "--data", "a.jsonl", "--template", "chatml"], debug=False) == 0
    return capsys.readouterr().out


def test_plan_ends_with_the_short_form(planned):
    part = planned[planned.index("\nEstimate\n") :].splitlines()[2:]
    assert [line.strip().split(":")[0] for line in part[:5]] == [
        "time",
        "memory",
        "disk",
        "rows",
        "duplicates",
    ]
    assert "rows: 150 of 150 will be written" in planned


def test_estimate_for_people_and_as_json(planned, capsys):
    assert _run(["estimate"], debug=False) == 0
    assert "Seconds of each stage\n" in capsys.readouterr().out
    assert _run(["estimate", "forge.yaml", "--json", "--set", "output.report=false"], debug=False) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["rows"]["all"]["value"] == 150
    assert {"stages", "seconds", "memory", "disk", "duplicates", "tokens", "packs", "workers", "vram"} <= (
        said.keys()
    )


def test_what_does_not_fit_ends_with_2_and_is_not_planned(planned, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("forge_gpu.foretell.foretell.free_space", lambda folder: 10)
    assert _run(["estimate"], debug=False) == 2
    assert "error: prepared: outputs, index and spool will take" in capsys.readouterr().err
    (tmp_path / "forge.yaml").unlink()
    arguments = ["plan", "--data", "a.jsonl", "--template", "chatml"]
    assert _run(arguments, debug=False) == 2
    assert not (tmp_path / "forge.yaml").exists()
    assert _run([*arguments, "--force"], debug=False) == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["estimate", "none.yaml"], "none.yaml: no such plan"),
        (["estimate", "--seconds", "0"], "--seconds: '0' is not a number of seconds"),
        (["estimate", "--seconds", "nan"], "--seconds: 'nan' is not a number of seconds"),
        (["estimate", "--data", "none.jsonl"], "none.jsonl: there is no such file"),
    ],
)
def test_a_fault_is_one_line(planned, arguments, line, capsys):
    assert _run(arguments, debug=False) == 2 or line.startswith("none.yaml")
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: {line}") and shown.count("\n") == 1
