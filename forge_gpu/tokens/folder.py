"""The tokenizer of a model's folder: its tokenizer.json, or one made of the files that others have."""

from __future__ import annotations

from pathlib import Path

from forge_gpu.errors import InputError
from forge_gpu.models.links import require_own
from forge_gpu.tokens.convert import CONVERTERS, convert
from forge_gpu.tokens.definition import Definition

FILE = "tokenizer.json"
READ = frozenset({".json", ".model", ".txt", ".jinja", ".py"})
MOST_BYTES = 256 * 2**20


def find_tokenizer(path: Path) -> Path:
    """The file of the tokenizer at a path: a folder, or a file. Raises InputError where there is none."""
    if not path.is_dir():
        return path
    names = (FILE, *CONVERTERS)
    result = next((path / name for name in names if (path / name).is_file()), None)
    for file in path.iterdir():  # a converter reads others of them too; weights are nobody's here
        if file.suffix in READ:
            require_own(file, path)
    if result is None:
        raise InputError(f"{path} has no tokenizer: none of {', '.join(names)}")
    return result


def read_tokenizer(path: Path) -> Definition:
    """The tokenizer at a path: a folder, or a file. Raises InputError with what is amiss."""
    file = find_tokenizer(path)
    return Definition.of(convert(file) if file.name in CONVERTERS else _read(file), file)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} is too large for a tokenizer: over {MOST_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
