"""Text that is not UTF-8: which encoding it is in, told by a detector, and how many rows need it.

Only plan asks this, and writes what it finds into the plan: a job never guesses.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from forge_gpu.errors import InputError
from forge_gpu.io.formats import Head, read_head
from forge_gpu.io.inputs import InputFile
from forge_gpu.plain import frozen

LEAST_CONFIDENCE = 0.1
"""Below this the detector has too little text to go by."""
MOST_BYTES = 2**17
TABLES = (b"PAR1", b"ARROW1", b"\xff\xff\xff\xff", b"\xff\xfe", b"\xfe\xff")
"""How files begin that are no text, or say themselves how they are encoded."""


@frozen
class Encoding:
    """name: of all files, None where it is UTF-8 or cannot be told. notes: a line for each that is not."""

    name: str | None
    notes: tuple[str, ...] = ()


def find_encoding(files: Sequence[InputFile]) -> Encoding:
    """Look at the beginnings of files. Raises InputError where one cannot be opened."""
    notes, names, others = [], set(), 0
    for file in files:
        try:
            result = _of_head(file, read_head(file))
        except InputError:
            continue  # who reads it says what is amiss
        if result is None:
            continue
        name, is_mixed, line = result
        names.add(name)
        others += is_mixed
        notes.append(line)
    name = names.pop() if len(names) == 1 and not others else None
    if name is None:
        return Encoding(None, tuple(notes))
    return Encoding(name, tuple(f"{note}; read as {name}, which is now data.encoding" for note in notes))


def _of_head(file: InputFile, head: Head) -> tuple[str | None, bool, str] | None:
    """(the encoding, whether some rows are UTF-8 that say so, a line); None where all is UTF-8."""
    data = head.data
    if data.startswith(TABLES) or b"\0" in data:
        return None
    lines = [line for line in data.split(b"\n")[: None if head.whole else -1] if line.strip()]
    bad = [line for line in lines if not _is_utf8(line)]
    if not bad:
        return None
    is_mixed = any(not line.isascii() for line in lines if _is_utf8(line))
    name = _detected(b"\n".join(bad)[:MOST_BYTES])
    share = f"{file.path}: {len(bad)} of {len(lines)} lines looked at are not UTF-8"
    if is_mixed:
        looks = f" (they look like {name})" if name else ""
        return name, True, f"{share}{looks}, and others are: these rows will be rejected; mend the file"
    if name is None:
        return None, False, f"{share}; name the encoding with --set data.encoding=cp1252, or what it is"
    return name, False, share


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _detected(data: bytes) -> str | None:
    """What the detector says; None where it is not installed, or not sure."""
    try:
        import chardet
    except ModuleNotFoundError:
        return None
    result = chardet.detect(data)
    name = result["encoding"]
    if not name or (result["confidence"] or 0) < LEAST_CONFIDENCE:
        return None
    try:
        data.decode(name)
        return codecs.lookup(name).name
    except (LookupError, UnicodeDecodeError):
        return None
