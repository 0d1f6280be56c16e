"""The tokenizer of a model's folder: its tokenizer.json, or one made of the files that others have."""

from __future__ import annotations

from pathlib import Path

from forge_gpu.errors import InputError
from forge_gpu.tokens.definition import Definition

FILE = "tokenizer.json"
MOST_BYTES = 256 * 2**20


def read_tokenizer(path: Path) -> Definition:
    """The tokenizer at a path: a folder, or a file. Raises InputError with what is amiss."""
    from forge_gpu.tokens.convert import CONVERTERS, convert

    if path.is_dir():
        names = (FILE, *CONVERTERS)
        found = next((path / name for name in names if (path / name).is_file()), None)
        if found is None:
            raise InputError(f"{path} has no tokenizer: none of {', '.join(names)}")
        path = found
    if path.name in CONVERTERS:
        return Definition.of(convert(path), path)
    return Definition.of(_read(path), path)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} is too large for a tokenizer: over {MOST_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
