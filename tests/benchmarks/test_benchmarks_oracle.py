"""The checks: right work passes, and each way of doing other work fails."""

import json

import pytest

from benchmarks import generate, oracle, work
from benchmarks.case import CheckFailed, Point
from benchmarks.peers.shingles import shingles

ROWS = 3_000


@pytest.fixture(scope="module")
def point(tmp_path_factory):
    path = tmp_path_factory.mktemp("oracle") / "flat.jsonl"
    generate.write(path, "flat", ROWS)
    return Point(path, ROWS)


@pytest.fixture
def job(point, tmp_path):
    """A right whole job, as lists of rows that a test may spoil; `check` writes and checks them."""
    retained: dict[str, str] = {}
    for row in oracle.rows_of(point.input):
        retained.setdefault(work.render(row), row["category"])
    by_category: dict[str, list[dict[str, str]]] = {}
    for text, category in retained.items():
        by_category.setdefault(category, []).append({"text": text, "category": category})
    parts: dict[str, list[dict[str, str]]] = {"train": [], "validation": []}
    for rows in by_category.values():
        cut = round(len(rows) * work.VALIDATION)
        parts["validation"] += rows[:cut]
        parts["train"] += rows[cut:]

    def check():
        for name, rows in parts.items():
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return oracle.job(None, point, tmp_path)

    return parts, check


def test_a_right_job_passes_in_any_order(job):
    parts, check = job
    parts["train"].reverse()
    assert check()["written"] == sum(map(len, parts.values()))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda parts: parts["train"].pop(),
        lambda parts: parts["train"].append(parts["train"][0]),
        lambda parts: parts["train"][0].update(text=parts["train"][0]["text"] + " "),
        lambda parts: parts["train"][0].update(category="another"),
        lambda parts: [parts["train"].append(parts["validation"].pop()) for _ in range(60)],
        lambda parts: [parts["validation"].append(parts["train"].pop()) for _ in range(60)],
    ],
    ids=["lost", "twice", "changed", "relabelled", "too few", "too many"],
)
def test_other_work_fails(job, spoil):
    parts, check = job
    spoil(parts)
    with pytest.raises(CheckFailed):
        check()


def test_columns_and_texts(point, tmp_path):
    rows = list(oracle.rows_of(point.input))
    columns = [[row[name] for row in rows] for name in work.COLUMNS]
    assert oracle.columns(work.table_facts(columns), point, tmp_path) == {}
    columns[1][7] += "!"
    with pytest.raises(CheckFailed):
        oracle.columns(work.table_facts(columns), point, tmp_path)
    texts = [work.render(row) for row in rows]
    assert oracle.texts(work.facts(texts), point, tmp_path) == {}
    with pytest.raises(CheckFailed):
        oracle.texts(work.facts(texts[1:]), point, tmp_path)


def test_near_duplicates_are_judged_by_planted_copies(point, tmp_path):
    clusters = oracle._clusters(point.input)
    assert len(clusters) > 100
    right = [row for cluster in clusters for row in sorted(cluster)[1:]]
    assert oracle.near_duplicates(right, point, tmp_path) == {"recall": 1.0, "precision": 1.0}
    with pytest.raises(CheckFailed, match=r"recall 0\.50"):
        oracle.near_duplicates(right[: len(right) // 2 + 1], point, tmp_path)
    innocent = sorted(set(range(ROWS)) - set().union(*clusters))
    with pytest.raises(CheckFailed, match="precision"):
        oracle.near_duplicates(right + innocent[: len(right)], point, tmp_path)
    with pytest.raises(CheckFailed, match="does not have"):
        oracle.near_duplicates([*right, ROWS], point, tmp_path)


def test_clusters_are_those_of_exact_similarity(point):
    rows = [work.content(row) for row in oracle.rows_of(point.input)]

    def similarity(a, b):
        one, other = (shingles(rows[i]) for i in (a, b))
        return len(one & other) / len(one | other)

    for cluster in oracle._clusters(point.input)[:60]:
        for row in cluster:
            assert max(similarity(row, other) for other in cluster - {row}) >= work.THRESHOLD
