"""Where a medium is: a file that may be read, a URL, or bytes that the record has itself."""

from __future__ import annotations

import os
import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote_to_bytes

from forge_gpu.media.references import Reference
from forge_gpu.plain import frozen

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_DATA_URL = re.compile(r"data:([\w.+-]*/?[\w.+-]*)((?:;[\w.+=-]+)*?)(;base64)?,", re.IGNORECASE)
_LONG_BASE64 = re.compile(r"[A-Za-z0-9+/\s]{64,}={0,2}\s*")
"""What stands in the place of a path, and is a file's content."""
_LONGEST_PATH = 4096


@frozen
class Bytes:
    """content: None where it is not what it says it is."""

    content: bytes | None


@frozen
class Url:
    """It is never fetched."""


@frozen
class File:
    """path: resolved, of what may be a file; None where nothing of that name may be looked at."""

    path: str | None


Source = Bytes | Url | File


def source_of(reference: Reference, folders: Sequence[str]) -> Source:
    """folders: absolute, those in which paths are looked up, in order; a file outside of all of them is not
    looked at."""
    text = reference.text
    if reference.is_content:
        return Bytes(_from_base64(text))
    match = _DATA_URL.match(text)
    if match is not None:
        rest = text[match.end() :]
        return Bytes(_from_base64(rest) if match[3] else unquote_to_bytes(rest))
    if text.startswith("file://"):
        return _file(
            unquote_to_bytes(text.removeprefix("file://").removeprefix("localhost")).decode(
                "utf-8", "replace"
            ),
            folders,
        )
    if _URL.match(text):
        return Url()
    if _LONG_BASE64.fullmatch(text) and (content := _from_base64(text)) is not None:
        file = _file(text, folders) if len(text) < 256 else File(None)
        return file if file.path is not None and os.path.exists(file.path) else Bytes(content)
    return _file(text, folders)


def _from_base64(text: str) -> bytes | None:
    try:
        return b64decode(re.sub(r"\s+", "", text), validate=True)
    except (NotBase64, ValueError):
        return None


def _file(name: str, folders: Sequence[str]) -> File:
    """The first that is there; else where it was to be, in the first folder."""
    if "\0" in name or len(name) > _LONGEST_PATH or not folders:
        return File(None)
    inside = [path for folder in folders if (path := _resolved(name, folder, folders)) is not None]
    return File(next((path for path in inside if os.path.exists(path)), inside[0] if inside else None))


def _resolved(name: str, folder: str, folders: Sequence[str]) -> str | None:
    """Where a name leads from a folder, links followed; None where that is outside of all folders."""
    path = os.path.realpath(os.path.join(folder, name))
    return path if any(Path(path).is_relative_to(each) for each in folders) else None
