"""What is kept of a version, and the picture of all versions."""

import xml.etree.ElementTree as ElementTree

from benchmarks import gates, history
from benchmarks.gates import Gate
from benchmarks.history import Version
from benchmarks.results import CaseResult, Outcome, PointResult, Results


def results():
    def outcome(name, *seconds):
        return Outcome(name, rounds=list(range(len(seconds))), seconds=list(seconds))

    points = [
        PointResult("short", 1, 1, 1, [outcome("forge", 1, 2, 3), outcome("polars", 4, 6, 6)]),
        PointResult("long", 1, 1, 1, [outcome("forge", 1.0), outcome("polars", 2.5), Outcome("duckdb")]),
    ]
    machine = {"commit": "abc", "processor": "a processor"}
    return Results("tiny", "2026-01-02T03:04:05", machine, [CaseResult("case", "", points)])


def test_what_is_kept_is_read_again(tmp_path):
    kept = history.of(results(), "1.10.0")
    assert kept == Version("1.10.0", "abc", "2026-01-02", "a processor", {"case": {"polars": 2.5}})
    history.save(kept, tmp_path)
    history.save(Version("1.9.0", "", "", "", {}), tmp_path)
    assert [version.version for version in history.load(tmp_path)] == ["1.9.0", "1.10.0"]
    assert history.load(tmp_path)[1] == kept


def test_the_picture_has_a_line_for_each_gate():
    versions = [
        Version("1.0.0", "", "", "", {"case": {"polars": 2.0}}),
        Version("2.0.0", "", "", "", {"case": {"polars": 20.0, "pandas": 3.0}, "other": {}}),
    ]
    of = [
        Gate("case", "forge", "polars", 1),
        Gate("case", "forge", "pandas", 1),
        Gate("other", "forge", "x", 1),
    ]
    drawn = ElementTree.fromstring(history.picture(versions, of))
    space = "{http://www.w3.org/2000/svg}"
    lines = drawn.findall(f"{space}polyline")
    assert [len(line.get("points", "").split()) for line in lines] == [2, 1]
    names = [text.text for text in drawn.findall(f"{space}text")]
    assert {"case: polars, 20.0×", "case: pandas, 3.0×", "1.0.0", "2.0.0"} <= set(names)
    (first, second) = lines[0].get("points", "").split()
    assert float(second.split(",")[1]) < float(first.split(",")[1]), "more is higher"


def test_the_committed_versions_can_be_drawn():
    assert "whole_job: polars" in history.picture(history.load(), gates.load())
