"""Texts that look like data and are not, or not as they stand: what they are, and what mends them."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from forge_gpu.io.json_cursor import is_json

_POINTER = b"version https://git-lfs.github.com/spec/"
_HTML = re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
_XML = re.compile(rb"\s*<\?xml\b", re.IGNORECASE)
_MARKDOWN = re.compile(rb"\s*(---\s*\n.*?\n---\s*\n\s*)?#{1,3} \S.*\n\s*\n", re.DOTALL)
_ASSIGNED = re.compile(rb"\s*(var|let|const|export default|module\.exports|[A-Za-z_]\w*)\s*=?\s*=\s*[\[{]")
_COMMENT = re.compile(rb"\s*(//|#|/\*)")
MOST_LINES = 50


def what_it_is(path: str, head: bytes) -> str | None:
    """What a text is that holds no records, and where those are to be had; None where nothing is known."""
    if head.startswith(_POINTER):
        return "a pointer of Git LFS, not the file itself: 'git lfs pull' in its repository fetches it"
    if _HTML.match(head):
        return "a web page, not data: the download gave a page (a login, an error?); fetch the raw file"
    if _XML.match(head):
        return "XML; convert it to JSON lines"
    name = PurePosixPath(path.lower())
    if _MARKDOWN.match(head) or (name.stem == "readme" and name.suffix in ("", ".md", ".rst", ".txt")):
        return "a text for people (a README?), not data; name the data files"
    return None


def why_broken(path: str, head: bytes) -> str | None:
    """Why a text that has JSON in it is not JSON as it stands, and the command that mends it; None where it
    is, or has nothing of it."""
    lines = [line.strip() for line in head.split(b"\n", MOST_LINES)[:MOST_LINES] if line.strip()]
    if not lines:
        return None
    name = PurePosixPath(path).name
    if sum(_is_record(line) for line in lines) * 2 >= len(lines):
        return None  # lines of records; the others are rejected one by one
    if sum(line.endswith(b",") and _is_record(line[:-1]) for line in lines) * 2 > len(lines):
        return _mend_commas(name, lines)
    if _ASSIGNED.match(head):
        return (
            "an array behind an assignment, as in a script: "
            f"sed '1s/^[^=]*= *//; $s/; *$//' {name} > records.json takes it away"
        )
    if _COMMENT.match(head) and any(line.startswith((b"[", b"{")) for line in lines):
        return (
            "JSON behind comments, which JSON does not have: "
            f"grep -vE '^ *(//|#)' {name} > records.json takes them away"
        )
    return None


def _mend_commas(name: str, lines: list[bytes]) -> str | None:
    if lines[0].startswith((b"//", b"#", b"/*")):
        return (
            "an array behind a comment, which JSON does not have: "
            f"grep -vE '^ *(//|#)' {name} > records.json takes it away"
        )
    if lines[0].startswith(b"["):
        return None  # an array, an element a line
    if b"=" in lines[0][:80] and not lines[0].startswith(b"{"):
        return (
            "an array behind an assignment, as in a script: "
            f"sed '1s/^[^=]*= *//; $s/; *$//' {name} > records.json takes it away"
        )
    return (
        "lines that end with commas, as the elements of an array do, but no bracket opens it: "
        f"sed -E 's/^ *[][] *$//; s/, *$//' {name} > records.jsonl makes lines of records"
    )


def _is_record(line: bytes) -> bool:
    return line.startswith(b"{") and is_json(line)
