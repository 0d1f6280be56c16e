"""The benchmark of growth fails where seconds grow faster than what there is more of."""

from __future__ import annotations

import pytest

from benchmarks.limits import __main__ as limits
from benchmarks.limits import growth


@pytest.mark.parametrize(("twice", "is_linear"), [(2.0, True), (2.2, True), (2.3, False), (4.0, False)])
def test_an_exponent_above_the_bound_fails(
    twice: float, is_linear: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "seconds", lambda case, folder: [1.0, twice if case.name == "files" else 2.0])
    lines, good = limits.growth_table([])
    assert good == is_linear
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {case.name}" for case in growth.GROWN]


def test_all_that_a_job_can_have_many_of_is_doubled() -> None:
    of = {case.name.split()[0] for case in growth.GROWN}
    assert of == {"rows", "columns", "members", "strata", "groups", "files", "programs"}
