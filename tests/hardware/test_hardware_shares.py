"""The shares of a job's memory: what is held at once fits, and no fraction stands anywhere else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import forge_gpu
from forge_gpu.hardware import shares
from forge_gpu.hardware.shares import Share

TABLE = {name: share for name, share in vars(shares).items() if isinstance(share, Share)}
PACKAGE = Path(forge_gpu.__file__).parent
# What takes a fraction of a budget, as `budget // 4`, or names one; bytes told in MiB are none.
FRACTION = re.compile(
    r"(budget|available|pool)(_bytes|\.bytes)?\)? *(//?|\*) *(\d+(?![\d*])|\d*\.\d)|_SHARE\b *="
)


@pytest.mark.parametrize("stage", shares.ALL)
def test_what_a_stage_holds_at_once_is_at_most_the_budget(stage):
    held = {name: share.part for name, share in TABLE.items() if stage in share.stages}
    assert {"SPOOL", "SCANS"} <= held.keys()
    assert sum(held.values()) <= 1, held


def test_parts_of_a_share_are_at_most_that_share():
    assert shares.PAIRS.part + shares.TEXTS.part <= 1
    assert shares.PAIRS.part + shares.BUCKETS.part <= 1
    assert shares.MARKS.part + shares.MEETING.part <= 1
    assert all(0 < share.part <= 1 for share in TABLE.values())


@given(st.integers(0, 2**60))
def test_a_share_of_bytes_is_whole_bytes_and_no_more_than_its_part(whole):
    for share in TABLE.values():
        assert share.part * whole - 1 < share.of(whole) <= share.part * whole


def test_no_fraction_of_a_budget_stands_elsewhere():
    assert FRACTION.search("half = budget_bytes // 4") and FRACTION.search("CUDF_SHARE = 4")
    lines = {
        f"{path.relative_to(PACKAGE)}:{number}"
        for path in PACKAGE.rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if FRACTION.search(line)
    }
    assert lines == set()
