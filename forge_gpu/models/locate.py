"""Where a model that the user names lies: a folder, or a repository in a Hugging Face cache."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from collections.abc import Mapping
from pathlib import Path

from forge_gpu.errors import InputError
from forge_gpu.models.folder import FILES
from forge_gpu.models.gguf_file import is_gguf

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
PATTERNS = ["*.json", "*.jinja", "additional_chat_templates/*"]


def locate(name: str, environ: Mapping[str, str] = os.environ) -> tuple[Path | None, str | None]:
    """The folder or GGUF file of a model, and a line on how it was found; (None, ...) where only its name is
    known.

    A name that is written as a path must exist. A repository's name is looked up in the cache, then, if
    the package huggingface_hub is installed, asked from the hub: its small text files, never weights.
    Raises InputError for a path that is no folder.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        try:
            inside = _snapshot(path)
        except OSError as error:
            raise InputError(f"--model {name}: cannot be read: {error.strerror}") from None
        return (inside, f"newest snapshot in {path}") if inside else (path, None)
    if path.name in FILES and path.is_file():
        return path.parent, f"the folder of {path}"
    if path.is_file() and is_gguf(path):
        return path, f"the metadata of {path}"
    if path.exists():
        raise InputError(f"--model {name}: is a file; name the model's folder")
    if name.startswith(("./", "../", "/", "~")) or name in (".", "..") or name.endswith("/"):
        raise InputError(f"--model {name}: there is no such folder")
    if not REPOSITORY.fullmatch(name):
        return None, None
    try:
        cached = _snapshot(_cache(environ) / f"models--{name.replace('/', '--')}")
    except OSError:  # a cache that is not ours to read
        cached = None
    if cached is not None:
        return cached, f"{name} is in the Hugging Face cache"
    return _ask_hub(name)


def _cache(environ: Mapping[str, str]) -> Path:
    if environ.get("HF_HUB_CACHE"):
        return Path(environ["HF_HUB_CACHE"])
    home = environ.get("HF_HOME")
    return (
        Path(home) if home else Path(environ.get("HOME", "~")).expanduser() / ".cache/huggingface"
    ) / "hub"


def _snapshot(repository: Path) -> Path | None:
    """The snapshot of `main`, else the newest one, of a cached repository."""
    snapshots = repository / "snapshots"
    if not snapshots.is_dir():
        return None
    try:
        revision = (repository / "refs" / "main").read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        revision = ""
    if re.fullmatch(r"[\w.-]+", revision) and (snapshots / revision).is_dir():
        return snapshots / revision
    return max((s for s in snapshots.iterdir() if s.is_dir()), key=lambda s: s.stat().st_mtime, default=None)


def _ask_hub(name: str) -> tuple[Path | None, str | None]:
    if importlib.util.find_spec("huggingface_hub") is None:
        return None, f"{name} is not in the Hugging Face cache"
    hub = importlib.import_module("huggingface_hub")
    try:
        folder = hub.snapshot_download(name, allow_patterns=PATTERNS, etag_timeout=10)
    except Exception as error:  # no network, no such repository, no right to it: the name is all there is
        return None, f"{name} could not be fetched: {type(error).__name__}"
    return Path(folder), f"{name}: configuration fetched from the hub"
