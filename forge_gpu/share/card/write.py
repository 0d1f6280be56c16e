"""Write the card of a prepared folder."""

from __future__ import annotations

import re
from pathlib import Path

from forge_gpu.errors import ConfigError, OutputError
from forge_gpu.io.atomic import write_atomic
from forge_gpu.share.card.body import MARK, card_text
from forge_gpu.share.card.metadata import metadata
from forge_gpu.share.prepared import Prepared, open_prepared, reading

CARD = "README.md"
MOST_BYTES = 16 * 2**20
"""Of a card that is looked at."""


def write_card(folder: str | Path, license: str | None = None) -> Path:
    """Write README.md of a prepared folder; its path. license: instead of the plan's.

    Raises InputError where the folder is not prepared, OutputError where a README.md is there that Forge did
    not write, ConfigError for a licence that is not a name.
    """
    prepared = open_prepared(folder)
    path = prepared.folder / CARD
    if path.is_symlink() or (path.exists() and not is_own_card(path)):
        raise OutputError(f"{path}: already exists, and Forge did not write it; move it away, or keep it")
    write_atomic(path, make_card(prepared, license))
    return path


def make_card(prepared: Prepared, license: str | None = None) -> str:
    """The text of the card."""
    license = license or prepared.settings_of_run.get("license")
    if license is not None and not (isinstance(license, str) and is_license(license)):
        raise ConfigError(f"{license!r}: is not the name of a licence; write one such as cc-by-4.0")
    with reading(prepared.folder):
        return card_text(prepared, metadata(prepared, license), license)


def is_license(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+_ -]{0,95}", name) is not None


def is_own_card(path: Path) -> bool:
    """Whether Forge wrote a file, and nobody has taken its mark away."""
    try:
        with path.open("rb") as file:
            return is_own_text(file.read(MOST_BYTES))
    except OSError as fault:
        raise OutputError(f"{path}: {fault.strerror}") from fault


def is_own_text(card: bytes) -> bool:
    """Whether the mark stands where Forge puts it: on the line after the YAML."""
    lines = card.decode("utf-8", "replace").splitlines()
    if not lines or lines[0] != "---" or "---" not in lines[1:]:
        return False
    after = lines.index("---", 1) + 1
    return lines[after : after + 1] == [MARK]
