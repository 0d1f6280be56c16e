"""What is right, found from the input by the plainest code, and the checks against it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import lru_cache
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from jinja2.sandbox import ImmutableSandboxedEnvironment

from benchmarks import generate, work
from benchmarks.case import CheckFailed, Point
from benchmarks.peers.shingles import shingles

Row = dict[str, Any]


def rows_of(path: Path) -> Iterator[Row]:
    """Those of JSON lines, compressed or not, or of Parquet, by the file's suffix."""
    if path.suffix == ".parquet":
        with pq.ParquetFile(path) as table:
            for batch in table.iter_batches(2**13):
                yield from batch.to_pylist()
        return
    compression = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix)
    with pa.input_stream(str(path), compression) as stream, BufferedReader(stream, 2**20) as lines:
        for line in lines:
            if line.strip():
                yield orjson.loads(line)


def expect(result: Any, required: Any, what: str) -> None:
    if result != required:
        raise CheckFailed(f"{what}: {result} where {required} is right")


@lru_cache(maxsize=8)
def _table_facts(path: Path) -> dict[str, int]:
    return work.facts("\0".join(row[name] for name in work.COLUMNS) for row in rows_of(path))


@lru_cache(maxsize=8)
def _text_facts(path: Path) -> dict[str, int]:
    return work.facts(work.render(row) for row in rows_of(path))


@lru_cache(maxsize=8)
def _unique_texts(path: Path) -> tuple[dict[str, int], Counter[str]]:
    """Facts of the different texts, and how many of them each category has (that of a text's first row)."""
    category: dict[str, str] = {}
    for row in rows_of(path):
        category.setdefault(work.render(row), row["category"])
    return work.facts(category), Counter(category.values())


@lru_cache(maxsize=8)
def _chat_facts(path: Path, template: str) -> dict[str, int]:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    compiled = environment.from_string(Path(template).read_text())
    return work.facts(
        compiled.render(messages=row["messages"], add_generation_prompt=False, **work.SPECIAL_TOKENS)
        for row in rows_of(path)
    )


def columns(result: Any, point: Point, folder: Path) -> dict[str, float]:
    """Every value of every column came through."""
    expect(result, _table_facts(point.input), "the columns read")
    return {}


def texts(result: Any, point: Point, folder: Path) -> dict[str, float]:
    """Every row was rendered, to the bytes of the plain template."""
    expect(result, _text_facts(point.input), "the texts")
    return {}


def chats(result: Any, point: Point, folder: Path) -> dict[str, float]:
    """Every conversation was rendered, to the bytes of Jinja."""
    expect(result, _chat_facts(point.input, point.arguments["template"]), "the texts")
    return {}


def unique(result: Any, point: Point, folder: Path) -> dict[str, float]:
    """What is left is each text once."""
    expect(result, _unique_texts(point.input)[0], "the texts left")
    return {}


def written(result: Any, point: Point, folder: Path) -> dict[str, float]:
    """The file holds every row, as JSON."""
    expect(
        work.facts(row["text"] for row in rows_of(folder / "train.jsonl")),
        _text_facts(point.input),
        "the texts",
    )
    return {}


def two_frames(result: Any, point: Point, folder: Path) -> dict[str, float]:
    """All rows came through, one in ten of them to validation."""
    validation, matches = result
    expect(matches, _table_facts(point.input), "the rows of both frames")
    expect(validation, int(point.rows * work.VALIDATION + 0.5), "rows of validation")
    return {}


def strata(result: Any, point: Point, folder: Path) -> dict[str, float]:
    """Each category's share of the validation rows is right within one row."""
    _within_one(result, Counter(row["category"] for row in rows_of(point.input)))
    return {}


def job(result: Any, point: Point, folder: Path) -> dict[str, float]:
    """Both files of JSON lines together hold each text once, and validation its share of every category."""
    return _job(point, folder, ".jsonl")


def job_to_parquet(result: Any, point: Point, folder: Path) -> dict[str, float]:
    """The same of two files of Parquet."""
    return _job(point, folder, ".parquet")


def _job(point: Point, folder: Path, suffix: str) -> dict[str, float]:
    required, categories = _unique_texts(point.input)
    parts = {name: list(rows_of(folder / (name + suffix))) for name in work.SPLITS}
    expect(work.facts(row["text"] for part in parts.values() for row in part), required, "the texts written")
    chosen = Counter(row["category"] for row in parts["validation"])
    _within_one(chosen, categories)
    expect(Counter(row["category"] for row in parts["train"]) + chosen, categories, "rows of each category")
    return {"written": required["rows"], "validation": len(parts["validation"])}


def anything(result: Any, point: Point, folder: Path) -> dict[str, float]:
    """For work that leaves nothing to look at: it ended well."""
    return {}


def _within_one(chosen: dict[str, int], categories: Counter[str]) -> None:
    for category, count in categories.items():
        share = count * work.VALIDATION
        if abs(chosen.get(category, 0) - share) > 1:
            raise CheckFailed(
                f"{chosen.get(category, 0)} validation rows of {category} where {share:g} is right"
            )
    if set(chosen) - set(categories):
        raise CheckFailed(
            f"validation rows of categories that the input lacks: {set(chosen) - set(categories)}"
        )


def near_duplicates(result: Any, point: Point, folder: Path) -> dict[str, float]:
    """Recall and precision of the rows removed, against the exact similarity of planted copies.

    recall: of the rows that ought to go (all but one of each cluster of copies at or over the threshold), the
    share that went. precision: of the rows that went, the share with such a copy. Fails when the rows are no
    rows, or when recall or precision is under 0.9: such a tool does other work than was asked for.
    """
    removed = set(result)
    if not removed <= set(range(point.rows)):
        raise CheckFailed("rows were removed that the input does not have")
    clusters = _clusters(point.input)
    due = sum(len(cluster) - 1 for cluster in clusters)
    matches = sum(min(len(cluster & removed), len(cluster) - 1) for cluster in clusters)
    members = set().union(*clusters) if clusters else set()
    recall = matches / due if due else 1.0
    precision = len(removed & members) / len(removed) if removed else 1.0
    if min(recall, precision) < 0.9:
        raise CheckFailed(f"recall {recall:.3f}, precision {precision:.3f}: under 0.9")
    return {"recall": recall, "precision": precision}


@lru_cache(maxsize=4)
def _clusters(path: Path) -> list[set[int]]:
    """Rows that copies join, whose exact Jaccard similarity reaches the threshold."""
    truth = np.fromfile(generate.truth_path(path), generate.TRUTH)
    families: defaultdict[int, set[int]] = defaultdict(set)
    for row in np.flatnonzero(truth["kind"] != generate.ORIGINAL).tolist():
        source = int(truth["source"][row])
        families[source] |= {source, row}
    required = set().union(*families.values()) if families else set()
    shingled = {i: shingles(work.content(row)) for i, row in enumerate(rows_of(path)) if i in required}
    return [cluster for family in families.values() for cluster in _joined(sorted(family), shingled)]


def _joined(family: list[int], shingled: dict[int, set[str]]) -> list[set[int]]:
    clusters: list[set[int]] = []
    for row in family:
        near = [
            cluster
            for cluster in clusters
            if any(_jaccard(shingled[row], shingled[other]) >= work.THRESHOLD for other in cluster)
        ]
        clusters = [cluster for cluster in clusters if cluster not in near] + [{row}.union(*near)]
    return [cluster for cluster in clusters if len(cluster) > 1]


def _jaccard(a: set[str], b: set[str]) -> float:
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)
