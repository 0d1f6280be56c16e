"""Which files of a prepared folder are pushed: splits and card, and bookkeeping where it is asked for."""

from __future__ import annotations

from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from forge_gpu.audit.manifest import REJECTED
from forge_gpu.io.atomic import inside
from forge_gpu.job.output.output_guard import is_ours_by_name
from forge_gpu.job.output.result import LEDGER, MANIFEST, PAGE
from forge_gpu.plain import frozen
from forge_gpu.share.card.write import CARD, is_own_card, make_card
from forge_gpu.share.prepared import Prepared


@frozen
class Content:
    """A file to be there. source: a file here, or the content. sha256: what the manifest says of it."""

    name: str
    source: Path | bytes
    sha256: str | None = None


def contents(prepared: Prepared, bookkeeping: bool, license: str | None) -> list[Content]:
    """The card comes last, once what it lists is there. Raises ForgeError."""
    files = [
        Content(file.file, inside(prepared.folder, file.file), file.sha256)
        for file in prepared.outputs
        if (file.rows and file.split != REJECTED) or (bookkeeping and file.bytes)
    ]
    if bookkeeping:
        there = (prepared.folder / name for name in (LEDGER, PAGE, MANIFEST))
        files += [Content(path.name, path) for path in there if path.is_file()]
    return [*files, Content(CARD, _card(prepared, license))]


def _card(prepared: Prepared, license: str | None) -> Path | bytes:
    """The card that is there, if someone else wrote it; else Forge's, made anew."""
    path = prepared.folder / CARD
    if path.exists():
        if not is_own_card(path):
            return path
        license = license or _license_of(path.read_text(encoding="utf-8", errors="replace"))
    return make_card(prepared, license).encode()


def _license_of(card: str) -> str | None:
    """The licence that a card of ours names."""
    try:
        about = YAML(typ="safe", pure=True).load(card.split("\n---\n")[0].removeprefix("---\n"))
        named = about.get("license_name") or about.get("license")
    except (YAMLError, AttributeError):
        return None
    return named if isinstance(named, str) else None


def is_of_a_push(name: str) -> bool:
    """Whether a file on the hub may be one that an earlier push put there, its card apart."""
    return is_ours_by_name(name) or name == PAGE
