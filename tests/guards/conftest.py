"""A small input for the tests of guards."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.job import jobs


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(300, seed=7))
