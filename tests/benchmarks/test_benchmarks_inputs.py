"""What the cases are run on: the same rows in every kind of file, by a plan that does what peers do."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import generate, oracle, packed, work
from forge_gpu.config.load import load
from forge_gpu.config.schema import Checks

PLANS = Path(packed.__file__).with_name("plans")


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".jsonl.zst", ".parquet"])
def test_packed_files_have_the_rows_of_the_lines(suffix: str, tmp_path: Path) -> None:
    lines, path = tmp_path / "flat.jsonl", tmp_path / f"packed{suffix}"
    generate.write(lines, "flat", 500)
    packed.write(lines, path)
    rows = [[row[name] for name in work.COLUMNS] for row in oracle.rows_of(lines)]
    assert [[row[name] for name in work.COLUMNS] for row in oracle.rows_of(path)] == rows
    assert path.stat().st_size < lines.stat().st_size
    assert not list(tmp_path.glob("*.partial"))


def test_the_bare_plan_has_no_work_that_peers_lack() -> None:
    config = load(PLANS / "bare.yaml").config
    checks = config.preprocessing.quality_checks
    levels = {name for name in Checks.model_fields if getattr(checks, name) in ("off", "warn", "reject")}
    assert len(levels) > 10
    assert {name for name in levels if getattr(checks, name) != "off"} == set()
    assert not config.output.verify and not config.output.report
