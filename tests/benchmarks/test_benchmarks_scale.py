"""The table of large inputs: a figure a thread is that of a job over its threads."""

import json
from pathlib import Path

from benchmarks.acceptance import scale
from benchmarks.command import Measured


def test_figures_of_a_job(tmp_path, monkeypatch):
    asked = []

    def spawn(argv):
        asked.append(argv)
        output = Path(argv[argv.index("--output") + 1])
        output.mkdir()
        stages = {"index": {"seconds": 2.0}, "write": {"seconds": 1.0}}
        (output / "manifest.json").write_text(json.dumps({"run": {"stages": stages}}))
        return Measured(seconds=4.0, cpu=6.0, peak=2**28)

    monkeypatch.setattr(scale, "spawn", spawn)
    (tmp_path / "in").write_bytes(bytes(1_000_000))
    source = tmp_path / "in"
    figures = scale.job(source, tmp_path / "out", 1_000, scale.JOBS["bare-near-duplicates"], threads=2)
    assert figures.split(" | ")[1:] == [
        *("2000.00", "0.00", "1000.00", "0.00", "0.00"),
        *("4000.00", "6000.00", "0.12", "125", "256"),
    ]
    assert asked[0][-6:-4] == ["--threads", "2"] and asked[0][-1].startswith("preprocessing.dedup.near")
    assert not (tmp_path / "out").exists()
