"""What trackers are given, from a plan and a manifest."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from ruamel.yaml import YAML

from forge_gpu.audit.manifest import IN_SPLITS, REJECTED
from forge_gpu.errors import ForgeError
from forge_gpu.io.secrets import public, public_within
from forge_gpu.job.output.result import LEDGER, MANIFEST, PAGE, Result
from forge_gpu.share.track.base import DataSet, Histogram, Outcome

MOST = 500
"""Characters of a parameter, which is the least that trackers take; the whole plan is an artifact."""
MOST_KEY = 250
BARS = 40


def parameters_of(config: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """Dotted keys of a plan, and values that are not objects; without null and without what is secret."""
    return dict(_flat(public_within(config), ""))


def _flat(value: Any, key: str) -> Iterator[tuple[str, str | int | float | bool]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{_key(name)}" if key else _key(name))
    elif isinstance(value, bool | int | float):
        yield key[:MOST_KEY], value
    elif value not in (None, "", []):
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        yield key[:MOST_KEY], text if len(text) <= MOST else text[: MOST - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _key(name: object) -> str:
    """A name as all trackers take it: those of roles and inputs may be anything."""
    return re.sub(r"[^A-Za-z0-9_.:/ -]", "_", str(name)).replace("..", "__")


def outcome_of(result: Result, config: Mapping[str, Any]) -> Outcome:
    """All of a finished job. config: the plan."""
    yaml = io.StringIO()
    YAML(typ="safe", pure=True).dump(public_within(config), yaml)
    manifest = public_within(result.manifest)
    output = result.output
    page = output / PAGE
    return Outcome(
        metrics=metrics_of(result.manifest),
        histograms=_histograms(output) if isinstance(output, Path) else {},
        data=data_set_of(result),
        texts={
            "forge.yaml": yaml.getvalue(),
            MANIFEST: orjson.dumps(manifest, option=orjson.OPT_INDENT_2).decode(),
        },
        files=[page] if isinstance(page, Path) and page.is_file() else [],
    )


def metrics_of(manifest: Mapping[str, Any]) -> dict[str, float]:
    """Counts, sizes and times, by dotted names."""
    run = manifest["run"]
    made: dict[str, float] = {"rows": manifest["rows"]}
    made |= {f"rows.{fate}": rows for fate, rows in manifest["counts"].items()}
    made |= {f"rejected.{reason}": rows for reason, rows in manifest["rejected"].items()}
    made |= {f"warned.{reason}": rows for reason, rows in manifest["warned"].items()}
    for file in manifest["outputs"]:
        key = f"bytes.{file['split']}"
        made[key] = made.get(key, 0) + file["bytes"]
    tokens = manifest.get("tokens") or {}
    made |= {f"tokens.{key}": of for key, of in tokens.items() if isinstance(of, int)}
    made |= {f"{key}": run[key] for key in ("seconds", "peak_memory")}
    made |= {f"seconds.{stage}": of["seconds"] for stage, of in run["stages"].items()}
    return made


def _histograms(output: Path) -> dict[str, Histogram]:
    """Of the lengths of rows in each split; none where the ledger cannot be read."""
    from forge_gpu.report.measure import measure

    try:
        lengths = measure(output / LEDGER).lengths
    except ForgeError:
        return {}
    made = {}
    for unit, by_fate in lengths.items():
        for split in IN_SPLITS:
            if split in by_fate and by_fate[split].rows:
                longest = by_fate[split].longest
                edges = np.unique(np.linspace(0, longest + 1, BARS + 1).round().astype(np.int64))
                rows = by_fate[split].histogram(edges)
                made[f"{unit}.{split}"] = Histogram(edges.tolist(), rows)
    return made


def data_set_of(result: Result) -> DataSet:
    """The output as one entry."""
    manifest = result.manifest
    files = [file for file in manifest["outputs"] if file["split"] != REJECTED]
    hashed = orjson.dumps([[file["file"], file["rows"], file["bytes"], file["sha256"]] for file in files])
    return DataSet(
        name=name_of(str(result.output)),
        digest=hashlib.sha256(hashed).hexdigest(),
        place=public(str(result.output)),
        files=files,
        inputs=[
            {"path": public(entry["path"]), "rows": entry["rows"], "bytes": entry["bytes"]}
            for entry in manifest["inputs"]
        ],
        columns=manifest["columns"],
    )


def name_of(output: str) -> str:
    """The name of an output's folder, as trackers take names."""
    last = [part for part in public(output).split("/") if part.strip(". ")][-1:] or ["prepared"]
    return re.sub(r"[^A-Za-z0-9_.-]", "_", last[0])[:100]
