"""The YAML at a card's beginning: what the hub lists, and what `datasets` loads splits by."""

from __future__ import annotations

import io
from functools import cache
from importlib.resources import files
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from forge_gpu.share.card.features import features_of
from forge_gpu.share.prepared import Prepared

SIZES = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
)
SIZES_ABOVE = ((10**8, "10M<n<100M"), (10**9, "100M<n<1B"), (10**10, "1B<n<10B"), (10**11, "10B<n<100B"))
LARGEST = "100B<n<1T"


def metadata(prepared: Prepared, license: str | None) -> str:
    """The YAML, without the lines of dashes around it."""
    splits = {split: rows for split, rows in prepared.split_files.items() if sum(file.rows for file in rows)}
    rows = sum(file.rows for of in splits.values() for file in of)
    size = sum(file.bytes for of in splits.values() for file in of)
    about: dict[str, Any] = {
        **_license(license),
        "task_categories": ["text-generation"],
        "size_categories": [size_category(rows)],
        "tags": ["forge"],
    }
    if splits:
        data_files = [
            {"split": split, "path": [_quoted(file.file) for file in of if file.rows]}
            for split, of in splits.items()
        ]
        about["configs"] = [{"config_name": "default", "default": True, "data_files": data_files}]
        about["dataset_info"] = {
            **_features(prepared),
            "splits": [
                {
                    "name": split,
                    "num_bytes": sum(file.bytes for file in of),
                    "num_examples": sum(file.rows for file in of),
                }
                for split, of in splits.items()
            ],
            "download_size": size,
            "dataset_size": size,
        }
    return _dumped(about)


def size_category(rows: int) -> str:
    """The hub's name of how many rows there are."""
    return next((name for above, name in (*SIZES, *SIZES_ABOVE) if rows < above), LARGEST)


def _license(license: str | None) -> dict[str, Any]:
    if license is None:
        return {}
    if license.lower() in known_licenses():
        return {"license": license.lower()}
    return {"license": "other", "license_name": _quoted(license)}


@cache
def known_licenses() -> frozenset[str]:
    text = (files("forge_gpu.share.card") / "licenses.yaml").read_text(encoding="utf-8")
    return frozenset(YAML(typ="safe", pure=True).load(text))


def _features(prepared: Prepared) -> dict[str, Any]:
    features = features_of(prepared)
    return {} if features is None else {"features": [_with_quoted_names(feature) for feature in features]}


def _with_quoted_names(value: Any) -> Any:
    """Columns have the names that the data gives them: none of these may mean anything else in YAML."""
    if isinstance(value, dict):
        return {key: _quoted(of) if key == "name" else _with_quoted_names(of) for key, of in value.items()}
    return [_with_quoted_names(item) for item in value] if isinstance(value, list) else value


def _quoted(text: str) -> DoubleQuotedScalarString:
    return DoubleQuotedScalarString(text)


def _dumped(value: dict[str, Any]) -> str:
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 2**30  # a text in quotes is never cut into lines
    stream = io.StringIO()
    yaml.dump(value, stream)
    return stream.getvalue()
