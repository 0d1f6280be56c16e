"""Statistics, gates, comparison, and the page: small figures with known answers."""

import pytest

from benchmarks import compare, gates, report, results
from benchmarks.results import CaseResult, Outcome, PointResult, Results


def outcome(name, seconds, rounds=None, **more):
    rounds = list(range(len(seconds))) if rounds is None else rounds
    return Outcome(name, rounds=rounds, seconds=seconds, cpu=seconds, peak=[10**6] * len(seconds), **more)


MACHINE = {
    **{"commit": "abc", "processor": "one", "cores_allowed": 2, "memory_bytes": 2**34},
    **{"memory_limit_bytes": None, "system": "Linux", "python": "3.11", "gpu": None, "load_before": 0.1},
}


def held(*outcomes, case="whole_job", label=""):
    point = PointResult(label, 1_000, 10**6, 1, list(outcomes))
    return Results("tiny", "2026-01-01T00:00:00+00:00", MACHINE, [CaseResult(case, "about it", [point])])


def test_ratio_pairs_the_rounds_that_both_ran():
    ours = outcome("forge", [1.0, 10.0, 1.0])
    theirs = outcome("polars", [2.0, 20.0], rounds=[0, 1])
    assert results.ratio(theirs, ours) == pytest.approx(2.0)
    assert results.ratio(outcome("polars", [3.0], rounds=[2]), ours) == pytest.approx(3.0)


def test_median_and_spread():
    assert outcome("a", [1.0, 2.0, 3.0, 4.0, 100.0]).median == 3.0
    assert outcome("a", [1.0, 2.0, 3.0, 4.0, 100.0]).spread == pytest.approx(1 / 3)
    assert outcome("a", [1.0, 2.0]).spread == pytest.approx(1 / 3)
    assert outcome("a", [5.0]).spread == 0


def test_results_survive_the_file(tmp_path):
    before = held(outcome("forge", [1.0, 2.0], stages={"index": 0.5}, figures={"recall": 0.99}))
    results.save(before, tmp_path / "r.json")
    assert results.load(tmp_path / "r.json") == before
    (tmp_path / "r.json").write_text('{"schema": 0}')
    with pytest.raises(ValueError, match="schema 1"):
        results.load(tmp_path / "r.json")


GATE = gates.Gate("whole_job", "forge", "polars", 2.0)


@pytest.mark.parametrize(
    ("outcomes", "holds", "says"),
    [
        ([outcome("forge", [1.0]), outcome("polars", [2.5])], True, "2.50×"),
        ([outcome("forge", [1.0]), outcome("polars", [1.9])], False, "1.90×, wanted ≥ 2×"),
        (
            [outcome("forge", [1.0]), Outcome("polars", note="not installed")],
            False,
            "no figures of polars: not inst",
        ),
        ([Outcome("forge", note="other words", failed=True), outcome("polars", [9.0])], False, "other words"),
        ([outcome("polars", [9.0])], False, "no such contender"),
    ],
)
def test_a_gate_holds_by_its_ratio_and_falls_without_figures(outcomes, holds, says):
    (verdict,) = gates.judge([GATE], held(*outcomes))
    assert verdict.holds is holds and says in str(verdict)


def test_a_gate_falls_when_its_case_was_not_run():
    (verdict,) = gates.judge([GATE], held(case="another"))
    assert not verdict.holds and "not run" in str(verdict)


def test_a_gate_is_held_at_every_point():
    both = held(outcome("forge", [1.0]), outcome("polars", [3.0]), label="a")
    both.cases[0].points += held(outcome("forge", [1.0]), outcome("polars", [1.0]), label="b").cases[0].points
    assert [verdict.holds for verdict in gates.judge([GATE], both)] == [True, False]


def test_the_gates_file_names_cases_and_contenders_that_exist():
    from benchmarks.cases import CASES

    casts = {case.name: {contender.name for contender in case.cast} for case in CASES}
    held = gates.load()
    assert held
    for gate in held:
        assert {gate.ours, gate.against} <= casts[gate.case] and gate.at_least > 0


def verdicts(old, new):
    return {change.contender: change.verdict for change in compare.compare(held(*old), held(*new))}


def test_slower_is_told_from_noise():
    steady, noisy = [1.0, 1.01, 1.0, 1.01], [1.0, 1.4, 0.8, 1.2]
    assert verdicts([outcome("forge", steady)], [outcome("forge", [2 * s for s in steady])]) == {
        "forge": "slower"
    }
    assert verdicts([outcome("forge", steady)], [outcome("forge", [s / 2 for s in steady])]) == {
        "forge": "faster"
    }
    assert verdicts([outcome("forge", noisy)], [outcome("forge", [1.3 * s for s in noisy])]) == {
        "forge": "same"
    }
    assert verdicts([outcome("forge", steady)], [outcome("forge", [1.05 * s for s in steady])]) == {
        "forge": "same"
    }


def test_a_slower_machine_slows_nobody():
    old = [outcome("forge", [1.0] * 4), outcome("polars", [2.0] * 4), outcome("duckdb", [4.0] * 4)]
    new = [outcome("forge", [2.0] * 4), outcome("polars", [4.0] * 4), outcome("duckdb", [8.0] * 4)]
    assert set(verdicts(old, new).values()) == {"same"}
    new[0] = outcome("forge", [3.0] * 4)
    assert verdicts(old, new)["forge"] == "slower"


def test_other_inputs_are_not_compared():
    new = held(outcome("forge", [9.0]))
    new.cases[0].points[0].rows = 7
    assert compare.compare(held(outcome("forge", [1.0])), new) == []


def test_the_page_tells_failures_and_who_is_faster():
    page = report.page(
        held(
            outcome("forge", [2.0], stages={"index": 1.5}),
            outcome("polars", [1.0]),
            outcome("floor: memcpy", [0.1]),
            Outcome("duckdb", note="other rows", failed=True),
            Outcome("pandas", note="cannot do this step"),
        )
    )
    assert "Faster than Forge here: polars (2.00×)." in page
    assert "| polars | 1.000 | 0% | 0.50 |" in page
    assert "FAILED: other rows" in page and "cannot do this step" in page
    assert "Stages of forge: index 1.500 s." in page


def test_failures_are_listed():
    assert held(Outcome("duckdb", note="other rows", failed=True)).failures == [
        "whole_job: duckdb: other rows"
    ]
