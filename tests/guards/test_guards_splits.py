"""What is in two splits ends the job: dedup keys, groups, clusters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forge_gpu.errors import ValidationError
from forge_gpu.job.decide import removal
from forge_gpu.kernels.layout import U8
from forge_gpu.split import exact, groups
from forge_gpu.split.groups import GroupSplit
from tests.job import jobs, similar


def test_a_key_in_two_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Duplicates that the first pass misses."""

    def none(hashes: Any, *_: Any) -> Any:
        return np.full(len(hashes), -1, np.int64)

    monkeypatch.setattr(removal, "duplicates", none)
    source = jobs.write_lines(tmp_path / "rows.jsonl", [{"instruction": "q", "output": "abc"}] * 50)
    with pytest.raises(ValidationError, match="1 keys in several splits: a fault of Forge"):
        jobs.run(jobs.plan(source), tmp_path / "out")
    assert not (tmp_path / "out/manifest.json").exists()


@pytest.mark.parametrize(
    ("preprocessing", "what"),
    [
        ({"split": {"group": "category"}}, "groups"),
        ({"dedup": {"near": {"action": "group"}}}, "clusters"),
    ],
)
def test_a_group_in_two_splits(
    preprocessing: dict[str, Any], what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(group: Any, *rest: Any) -> GroupSplit:
        fates: U8 = exact.assign(*rest)
        return GroupSplit(fates, ())

    monkeypatch.setattr(groups, "assign", torn)
    rows = [row | {"category": f"{n % 9}"} for n, row in enumerate(similar.rows(400, seed=3))]
    source = jobs.write_lines(tmp_path / "rows.jsonl", rows)
    with pytest.raises(ValidationError, match=rf"\d+ {what} in several splits: a fault of Forge"):
        jobs.run(jobs.plan(source, preprocessing=preprocessing), tmp_path / "out")
    assert not (tmp_path / "out/manifest.json").exists()
