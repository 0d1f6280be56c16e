"""The manifest of a prepared folder, which may be anyone's: looked at before anything is done by it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import orjson

from forge_gpu.config.schema import Config
from forge_gpu.errors import InputError
from forge_gpu.fates import Fate, name
from forge_gpu.job.output.output_guard import is_ours_by_name
from forge_gpu.job.output.result import MANIFEST, OutputFile
from forge_gpu.job.state.decisions import SPLITS

REJECTED = name(Fate.REJECTED)
IN_SPLITS = tuple(map(name, SPLITS))

SECTIONS = ("counts", "rejected", "columns", "template", "run", "config")
KINDS = {"string", "json", "int64", "double", "bool", "ids"}
"""Types of columns that a manifest names."""
OF_SPLITS = {"tokens": "lines", "packs": "packs"}
"""Sections that say of each split how many lines its files have, and under which key."""


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an output folder. Raises InputError where there is none, or it cannot be read."""
    path = folder / MANIFEST
    try:
        manifest = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{folder}: holds no {MANIFEST}; name the output folder of a finished job") from None
    except (OSError, orjson.JSONDecodeError) as fault:
        raise InputError(f"{path}: cannot be read: {fault}; prepare the folder again") from None
    needed = {*SECTIONS, "forge", "outputs", "rows", "inputs"}
    if not isinstance(manifest, dict) or not needed <= manifest.keys():
        raise InputError(f"{path}: is not a manifest of Forge: it lacks {', '.join(sorted(needed))}")
    try:
        _check(manifest)
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise InputError(f"{path}: is not a manifest of Forge: {fault}") from None
    return manifest


def read_config(folder: Path, manifest: dict[str, Any]) -> Config:
    """The settings that it was made with. Raises InputError where they are of another version of Forge."""
    try:
        return Config.model_validate(manifest["config"])
    except ValueError as fault:
        raise InputError(
            f"{folder / MANIFEST}: its settings are of another version of Forge: {str(fault).splitlines()[0]}"
        ) from None


def _check(manifest: dict[str, Any]) -> None:
    """What is read of a manifest. Raises ValueError, TypeError, KeyError, AttributeError."""
    for key in SECTIONS:
        if not isinstance(manifest[key], dict):
            raise ValueError(f"{key} is not an object")
    _require_counts(manifest, "rows", "parts")
    for key in ("counts", "rejected"):
        _require_counts(manifest[key], *manifest[key])
    if not set(manifest["columns"].values()) <= KINDS or not isinstance(manifest["forge"], str):
        raise ValueError("columns has a value that is not a type, or forge one that is not a version")
    for entry in manifest["inputs"]:
        _require_counts(entry, "rows")
        if not isinstance(entry["path"], str):
            raise ValueError("inputs has a value that is not an input")
    for entry in manifest["outputs"]:
        _check_output(entry)
    for section, key in OF_SPLITS.items():
        for sums in manifest.get(section, {}).get("splits", {}).values():
            _require_counts({key: sums[key]}, key)
    if "tokens" in manifest and not isinstance(manifest["tokens"]["tokenizer_sha256"], str):
        raise ValueError("tokens has a value that is not the hash of a tokenizer")


def _check_output(entry: dict[str, Any]) -> None:
    if entry.keys() != {field.name for field in fields(OutputFile)}:
        raise ValueError("outputs has a value that is not a file")
    _require_counts(entry, "rows", "bytes")
    if not isinstance(entry["sha256"], str | None):
        raise ValueError("outputs has a value that is not a hash")
    if entry["split"] not in {*IN_SPLITS, REJECTED} or not is_ours_by_name(entry["file"]):
        raise ValueError(f"outputs names {entry['file']!r}, which is not a file of a split")


def _require_counts(of: dict[str, Any], *keys: str) -> None:
    for key in keys:
        if key in of and not (type(of[key]) is int and 0 <= of[key] < 2**63):
            raise ValueError(f"{key} is not a number of rows or bytes")
