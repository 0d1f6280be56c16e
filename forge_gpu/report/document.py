"""The data of a report, from what a job left: manifest, ledger, and the rows that were looked at."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.errors import ForgeError
from forge_gpu.fates import Fate, name
from forge_gpu.io.secrets import public, public_within
from forge_gpu.job.output.collector import SeenRow
from forge_gpu.quality.checks import CHARACTERS_A_TOKEN
from forge_gpu.report.differences import difference, readable
from forge_gpu.report.meanings import meanings
from forge_gpu.report.measure import UNITS, Lengths, Measures
from forge_gpu.report.shown import shortened

SPLITS = ("train", "validation", "test")
MOST_SOURCES = MOST_STRATA = 12
BARS = 48
"""Of a histogram of lengths."""


def document(
    manifest: dict[str, Any],
    measures: Measures,
    seen: Mapping[int, SeenRow],
    run: dict[str, Any],
    most: int,
) -> dict[str, Any]:
    """What the page shows. run: what the collector has noted. most: characters of a text that are shown."""
    config = Config.model_validate(manifest["config"])
    seen = {number: row for number, row in seen.items() if number in measures.rows}
    return {
        "forge": manifest["forge"],
        "goal": public(manifest["run"]["settings"].get("goal") or ""),
        "rows": manifest["rows"],
        "counts": manifest["counts"],
        "bytes": sum(entry["bytes"] or 0 for entry in manifest["inputs"]),
        "written": sum(entry["bytes"] for entry in manifest["outputs"] if entry["split"] != "rejected"),
        "meanings": meanings(),
        "sources": _sources(manifest, measures),
        "reasons": _reasons(manifest, measures, seen, most),
        "lengths": _lengths(config, measures),
        "strata": _strata(config, run, measures, seen),
        "clusters": _clusters(run, measures, seen, most),
        "contamination": _contamination(manifest, measures, seen, most),
        "samples": _samples(config, run, measures, seen, most),
        "warned": manifest["warned"],
        "outputs": manifest["outputs"],
        "model": {"name": config.model.name, "max_length": config.model.max_length},
        "template": _template(config),
        "mapping": {k: v for k, v in manifest["config"]["data"]["mapping"].items() if v},
        "run": public_within(manifest["run"]),
        "memory": run.get("memory", {}),
        "command": run.get("command"),
        "near": manifest.get("near_duplicates"),
        "leaks": (manifest["verified"] or {}).get("keys_in_several_splits"),
    }


def _sources(manifest: dict[str, Any], measures: Measures) -> list[dict[str, Any]]:
    """The inputs with the fates of their rows; where there are many, the largest and all others as one."""
    sources = [
        {
            "name": entry["path"],
            "rows": entry["rows"],
            "bytes": entry["bytes"],
            "fates": {f: n for (file, f), n in measures.fates.items() if file == entry["path"]},
        }
        for entry in sorted(manifest["inputs"], key=lambda entry: -entry["rows"])[:MOST_SOURCES]
    ]
    rest = sorted(manifest["inputs"], key=lambda entry: -entry["rows"])[MOST_SOURCES:]
    if rest:
        shown = {source["name"] for source in sources}
        fates: dict[str, int] = {}
        for (file, fate), rows in measures.fates.items():
            if file not in shown:
                fates[fate] = fates.get(fate, 0) + rows
        total = sum(entry["rows"] for entry in rest)
        size = sum(entry["bytes"] or 0 for entry in rest)
        sources.append({"name": f"{len(rest):,} more files", "rows": total, "bytes": size, "fates": fates})
    return sources


def _place(row: SeenRow) -> dict[str, Any]:
    return {"file": row.file, "row": row.row}


def _text(text: str, most: int) -> dict[str, Any]:
    return {"text": text[:most], "more": max(len(text) - most, 0)}


def _reasons(
    manifest: dict[str, Any], measures: Measures, seen: Mapping[int, SeenRow], most: int
) -> list[dict[str, Any]]:
    """The reasons by how many rows they have, with examples."""
    examples: dict[str, list[dict[str, Any]]] = {}
    for number, row in sorted(seen.items()):
        reason = measures.rows[number]["reason"]
        if reason is not None:
            source = row.source.decode("utf-8", "replace")
            entry = _place(row) | _text(source, most) | {"detail": row.detail[:300]}
            examples.setdefault(reason, []).append(entry)
    ordered = sorted(manifest["rejected"].items(), key=lambda entry: -entry[1])
    return [
        {
            "reason": reason,
            "rows": rows,
            "files": sum(1 for file, of in measures.reasons if of == reason),
            "examples": examples.get(reason, []),
        }
        for reason, rows in ordered
    ]


def _lengths(config: Config, measures: Measures) -> list[dict[str, Any]]:
    """Lengths of each split, in the units that the ledger has; none where they were not counted."""
    tokens = config.model.max_length
    characters = None if tokens is None else tokens * CHARACTERS_A_TOKEN
    limits = {"tokens": (tokens, None), "characters": (characters, CHARACTERS_A_TOKEN)}
    made = []
    for unit, of_fates in measures.lengths.items():
        of_splits = {split: of_fates[split] for split in SPLITS if split in of_fates and of_fates[split].rows}
        if of_splits:
            made.append(_lengths_in(unit, of_splits, *limits[unit]))
    return made


def _lengths_in(
    unit: str, of_splits: dict[str, Lengths], limit: int | None, a_token: int | None
) -> dict[str, Any]:
    """a_token: how many of the unit are taken for a token; None where tokens are counted."""
    edges = _edges(list(of_splits.values()))
    return {
        "unit": unit,
        "edges": edges.tolist(),
        "limit": limit,
        "a_token": a_token,
        "splits": {
            split: {
                "rows": lengths.rows,
                "median": lengths.at(0.5),
                "p95": lengths.at(0.95),
                "longest": lengths.longest,
                "over": None if limit is None else lengths.above(limit),
                "histogram": lengths.histogram(edges),
            }
            for split, lengths in of_splits.items()
        },
    }


def _edges(lengths: Sequence[Lengths]) -> np.ndarray:
    """Edges of bars that stand evenly on a scale of logarithms."""
    longest = max(of.longest for of in lengths)
    shortest = max(min(of.at(0.001) for of in lengths), 1)
    edges = np.geomspace(shortest, max(longest, shortest + 1) + 1, BARS + 1).astype(np.int64)
    edges, _ = np.unique(edges, return_counts=True)  # without counts it imports numpy.ma
    return np.concatenate([[0], edges]) if shortest > 1 else edges


def _strata(
    config: Config, run: dict[str, Any], measures: Measures, seen: Mapping[int, SeenRow]
) -> dict[str, Any] | None:
    """The largest strata with the fates of their rows, by the values that a row of each has; None without."""
    if not measures.strata:
        return None
    sizes: Counter[str] = Counter()
    for (stratum, _), rows in measures.strata.items():
        sizes[stratum] += rows
    items = []
    noted: dict[str, int] = run.get("strata") or {}
    for number, stratum in enumerate(noted or [of for of, _ in sizes.most_common(MOST_STRATA)], 1):
        row = seen.get(noted.get(stratum, -1))
        values = None if row is None else _values(row.source, config.preprocessing.split.strata)
        fates = {fate: n for (of, fate), n in measures.strata.items() if of == stratum}
        items.append({"name": values or f"stratum {number}", "rows": sizes[stratum], "fates": fates})
    hidden = len(sizes) - len(items)
    return {"columns": list(config.preprocessing.split.strata), "items": items, "more": hidden}


def _values(source: bytes, columns: Sequence[str]) -> str | None:
    """What a record has in some columns, as one line; None where it is not a JSON object."""
    try:
        record = json.loads(source)  # numbers as they are spelled: orjson rounds large ones
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    return ", ".join(str(record.get(column, "")) for column in columns)[:60]


def _clusters(
    run: dict[str, Any], measures: Measures, seen: Mapping[int, SeenRow], most: int
) -> list[dict[str, Any]]:
    """The largest clusters, and how the rows that were left out differ from the one that stayed."""
    clusters = []
    for stayed, rows in run.get("clusters", {}).items():
        first = seen.get(int(stayed))
        if first is None:
            continue
        text = readable(first.source)[:most]
        others = [
            _place(seen[number])
            | {
                "similarity": measures.rows[number].get("similarity"),
                "difference": difference(text, readable(seen[number].source)[:most]),
            }
            for number in run.get("members", [])
            if number in seen and _stayed(measures.rows[number]) == (first.file, first.row)
        ]
        clusters.append({"rows": rows + 1, "stayed": _place(first) | {"text": text}, "others": others})
    return clusters


def _stayed(row: dict[str, Any]) -> tuple[str | None, int | None]:
    return row["duplicate_of_file"], row["duplicate_of_row"]


def _contamination(
    manifest: dict[str, Any], measures: Measures, seen: Mapping[int, SeenRow], most: int
) -> dict[str, Any] | None:
    if "against" not in manifest:
        return None
    examples = [
        _place(row)
        | _text(readable(row.source), most)
        | {key: measures.rows[number].get(key) for key in ("matched_file", "matched_row", "matched_by")}
        for number, row in sorted(seen.items())
        if measures.rows[number]["fate"] == name(Fate.CONTAMINATED)
    ]
    by = [{"file": file, "by": rule, "rows": rows} for (file, rule), rows in measures.matched.most_common(20)]
    return {"rows": manifest["counts"]["contaminated"], "by": by, "examples": examples}


def _samples(
    config: Config, run: dict[str, Any], measures: Measures, seen: Mapping[int, SeenRow], most: int
) -> list[dict[str, Any]]:
    """Rows of the splits as the model sees them, in the order of the splits."""
    chosen = sorted(
        (SPLITS.index(fate), int(number))
        for number in run["segments"]
        if int(number) in seen and (fate := measures.rows[int(number)]["fate"]) in SPLITS
    )
    samples = []
    for split, number in chosen:
        segments, more = run["segments"][str(number)]
        shown, hidden = shortened(segments, most)
        lengths = {unit: measures.rows[number].get(unit) for unit in UNITS}
        samples.append(
            _place(seen[number])
            | {
                "split": SPLITS[split],
                "segments": shown,
                "more": hidden + more,
                "lengths": {unit: length for unit, length in lengths.items() if length is not None},
                "pack": _pack(config, measures.rows[number]),
            }
        )
    return samples


def _pack(config: Config, row: dict[str, Any]) -> str | None:
    """Where in which pack of its file a row is; None where rows are not packed."""
    place = row.get("place")
    if place is None:
        return None
    where = f"from token {place:,}" if config.output.packing == "wrapped" else f"row {place + 1:,}"
    return f"{where} of pack {row['line']:,} in {row['shard']}"


def _template(config: Config) -> dict[str, Any]:
    """Where it comes from, and of a model's own template what probes found."""
    model = config.model
    facts = {
        "kind": model.template_kind + (", an approximation" if model.template_is_approximate else ""),
        "SHA-256": model.template_sha256,
        "date": model.date,
    }
    return {
        "facts": [[key, value] for key, value in facts.items() if value],
        "probes": _probes(config) if model.template_kind == "jinja" else [],
        "text": (model.chat_template or "")[:20_000],
    }


def _probes(config: Config) -> list[str]:
    from forge_gpu.templates.environment import chat_template  # most plans can do without Jinja
    from forge_gpu.templates.probe_lines import probe_lines
    from forge_gpu.templates.probes import probe, today, with_date

    try:
        template = chat_template(config.model)
        return probe_lines(probe(with_date(template, today()) if template.date is None else template))
    except ForgeError as fault:
        return [fault.public]
