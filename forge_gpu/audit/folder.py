"""A prepared folder, from its files alone: every count and hash of its manifest is derived anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from forge_gpu.audit.manifest import IN_SPLITS, REJECTED, read_config, read_manifest
from forge_gpu.audit.validation_report import Check, ValidationReport
from forge_gpu.config.schema import Config
from forge_gpu.errors import ForgeError, ValidationError
from forge_gpu.io.atomic import inside
from forge_gpu.io.faults import first_line
from forge_gpu.io.sinks.registry import format_of
from forge_gpu.job.output.result import LEDGER, MANIFEST, REJECTED_FORMAT, OutputFile
from forge_gpu.templates.forms import form_of


def verify_folder(folder: Path) -> ValidationReport:
    """Look at every file of an output folder. Raises InputError where it is none, or its manifest cannot be
    read; every other fault is a check that failed."""
    manifest = read_manifest(folder)
    outputs = [OutputFile(**entry) for entry in manifest["outputs"]]
    config = read_config(folder, manifest)
    checks = [_file(folder, file, config) for file in outputs]
    checks.append(_sums(manifest, outputs))
    rows, of_ledger = _of_ledger(folder, manifest, outputs)
    return ValidationReport(str(folder), rows, (*checks, *of_ledger))


def _of_ledger(
    folder: Path, manifest: dict[str, Any], outputs: list[OutputFile]
) -> tuple[int, Sequence[Check]]:
    """(rows of the ledger, what is checked by it)."""
    import pyarrow as pa

    try:
        ledger = _Ledger(inside(folder, LEDGER))
        ledger.read_all()
        checks = (*_ledger(ledger, manifest, outputs), _rejected(folder, ledger, outputs))
    except (OSError, ValueError, KeyError, TypeError, OverflowError, pa.ArrowException, ForgeError) as fault:
        return 0, [Check(LEDGER, False, f"cannot be read: {first_line(fault)}")]
    return ledger.rows, checks


def _file(folder: Path, file: OutputFile, config: Config) -> Check:
    """Its size, its rows, its fields and its hash."""
    is_split = file.split != REJECTED
    format = format_of(config.output.format if is_split else REJECTED_FORMAT)
    fields = form_of(config).fields(config) if is_split else ()
    try:
        path = inside(folder, file.file)  # a link that leads out is not followed
        size = path.stat().st_size
        if size != file.bytes:
            return Check(file.file, False, f"has {size} bytes, the manifest says {file.bytes}")
        rows, digest = format.check(path, fields, lambda rows, size: None, None)
    except (OSError, ForgeError) as fault:
        return Check(file.file, False, str(fault))
    if rows != file.rows:
        return Check(file.file, False, f"holds {rows} rows, the manifest says {file.rows}")
    if file.sha256 is not None and digest != file.sha256:
        return Check(file.file, False, f"its SHA-256 is {digest}, the manifest says {file.sha256}")
    hashed = "" if file.sha256 is None else f", SHA-256 {digest[:12]}…"
    return Check(file.file, True, f"{rows} rows{hashed}")


def _sums(manifest: dict[str, Any], outputs: list[OutputFile]) -> Check:
    """The counts of the manifest against each other."""
    counts = manifest["counts"]
    total, rows = sum(counts.values()), manifest.get("parts", manifest["rows"])
    of_inputs = sum(entry["rows"] for entry in manifest["inputs"])
    of_splits: Counter[str] = Counter()
    for file in outputs:
        of_splits[file.split] += file.rows
    lines = _lines(manifest)
    faults = [
        *([f"fates sum to {total}, rows are {rows}"] if total != rows else []),
        *([f"inputs sum to {of_inputs}, not to the rows"] if of_inputs != manifest["rows"] else []),
        *(
            f"{split} has {of_splits[split]} rows in its files, the counts say {lines[split]}"
            for split in sorted({*IN_SPLITS, REJECTED} & counts.keys())
            if split in of_splits and of_splits[split] != lines[split]
        ),
    ]
    return Check(MANIFEST, not faults, "; ".join(faults) or f"{total} fates of {rows} rows")


def _lines(manifest: dict[str, Any]) -> dict[str, int]:
    """How many lines the files of each fate have: its rows, unless these are split or packed."""
    lines = dict(manifest["counts"])
    for section, key in (("tokens", "lines"), ("packs", "packs")):
        lines |= {split: sums[key] for split, sums in manifest.get(section, {}).get("splits", {}).items()}
    return lines


class _Ledger:
    """The columns of the ledger that are counted, as numbers of words."""

    def __init__(self, path: Path) -> None:
        from forge_gpu.job.output.ledger import open_ledger

        self._file = open_ledger(path)
        self.rows: int = self._file.metadata.num_rows

    def read_all(self) -> None:
        """Each page has a checksum, which reading compares. Raises OSError."""
        from forge_gpu.io.checked import check

        for batch in self._file.iter_batches():
            check(batch)

    def batches(self, *columns: str) -> Iterator[dict[str, list[Any]]]:
        for batch in self._file.iter_batches(columns=list(columns)):
            yield batch.to_pydict()


def _ledger(ledger: _Ledger, manifest: dict[str, Any], outputs: list[OutputFile]) -> list[Check]:
    fates: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    lines: dict[str, list[int]] = {}
    for batch in ledger.batches("fate", "reason", "shard", "line"):
        fates.update(batch["fate"])
        reasons.update(reason for reason in batch["reason"] if reason is not None)
        for shard, line in zip(batch["shard"], batch["line"], strict=True):
            if shard is not None:
                lines.setdefault(shard, []).append(line)
    counts = {fate: count for fate, count in manifest["counts"].items() if count}
    return [
        _same("fates of the ledger", dict(fates), counts),
        _same("reasons of the ledger", dict(reasons), manifest["rejected"]),
        _places(lines, outputs, manifest),
    ]


def _same(what: str, result: dict[str, int], said: dict[str, int]) -> Check:
    differing = sorted(key for key in {*result, *said} if result.get(key, 0) != said.get(key, 0))
    lines = (f"{key}: {result.get(key, 0)}, the manifest says {said.get(key, 0)}" for key in differing)
    return Check(what, not differing, "; ".join(lines) or f"{sum(result.values())} rows")


def _places(lines: dict[str, list[int]], outputs: list[OutputFile], manifest: dict[str, Any]) -> Check:
    """Every line of every file of a split is one row of the ledger; a pack is one or more. Where rows go on
    in further lines, or are repeated, the ledger names the first."""
    faults, config = [], manifest["config"]
    is_packed = "packs" in manifest
    goes_on = config["output"].get("packing") == "wrapped" or config.get("tokens", {}).get("cut") == "split"
    goes_on |= config["data"].get("repeats") is not None
    for file in outputs:
        if file.split in IN_SPLITS:
            result = np.sort(np.array(lines.pop(file.file, []), np.int64))
            result = np.unique(result) if is_packed else result
            every = np.arange(1, file.rows + 1)
            if not (np.isin(result, every).all() if goes_on else np.array_equal(result, every)):
                faults.append(f"{file.file}: the ledger does not name each of its {file.rows} lines once")
    faults += [f"{shard}: the ledger names it, the manifest does not" for shard in lines]
    return Check("lines of the ledger", not faults, "; ".join(faults) or "each names one row")


def _rejected(folder: Path, ledger: _Ledger, outputs: list[OutputFile]) -> Check:
    """The rejected rows of the ledger are those of the file, with the same reasons."""
    said: Counter[tuple[str, int, str]] = Counter()
    for batch in ledger.batches("file", "row", "fate", "reason"):
        for place in zip(batch["file"], batch["row"], batch["reason"], batch["fate"], strict=True):
            if place[3] == REJECTED:
                said[place[:3]] += 1
    result: Counter[tuple[str, int, str]] = Counter()
    file = next((file for file in outputs if file.split == REJECTED), None)
    try:
        for record in _records(inside(folder, file.file)) if file is not None else ():
            result[record["file"], record["row"], record["reason"]] += 1
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as fault:
        return Check("rejected rows", False, f"cannot be read: {first_line(fault)}")
    differing = (said - result) + (result - said)
    if differing:
        path, row, reason = min(differing)
        where = f"{path}, row {row} ({reason})"
        return Check("rejected rows", False, f"{differing.total()} differ from the ledger, as {where}")
    return Check("rejected rows", True, f"{result.total()} rows, as in the ledger")


def _records(path: Path) -> Iterator[dict[str, Any]]:
    load: Callable[[bytes], Any] = orjson.loads
    with open(path, "rb") as file:
        for line in file:
            yield load(line)
