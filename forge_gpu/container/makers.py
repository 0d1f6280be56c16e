"""What the bytes of a job are made by, so that an image whose jobs would give others is known."""

from __future__ import annotations

import hashlib
import sys
import unicodedata
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from forge_gpu.config.schema import Config

FORGE = "Forge's sources"
LIBRARIES = ("jinja2", "orjson", "pyarrow")
"""They render templates and write JSON and Parquet. All else that makes bytes is Forge's own."""
PYTHON, UNICODE = "Python", "Unicode"
SUFFIXES = (".jinja", ".json", ".py", ".toml", ".yaml")


def makers() -> dict[str, str]:
    """By name, the version of each here; of Forge itself a digest."""
    made_by = {FORGE: _own_digest(), **{name: _version(name) for name in LIBRARIES}}
    return made_by | {
        PYTHON: f"{sys.version_info.major}.{sys.version_info.minor}",
        UNICODE: unicodedata.unidata_version,
    }


def differing(theirs: Mapping[str, str], config: Config) -> list[str]:
    """Those that are others there than here, of what makes the bytes of this plan."""
    names = [FORGE, *LIBRARIES]
    if config.data.transform.script is not None:
        names.append(PYTHON)
    if config.data.against or config.preprocessing.dedup.near is not None:  # compare normalised texts
        names.append(UNICODE)
    here = makers()
    return [name for name in names if theirs.get(name) != here[name]]


@cache
def _own_digest() -> str:
    return sources_digest(Path(__file__).parents[1])


def sources_digest(folder: Path) -> str:
    """Of the files of a package of Forge, by their names and contents."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in SUFFIXES:
            content = path.read_bytes()
            digest.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
