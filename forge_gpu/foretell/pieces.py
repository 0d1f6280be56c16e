"""A bounded part of the inputs, as files of their own that the job reads in place of them.

Lines of JSON are taken from many places, evenly; rows of tables likewise. Of all else (compressed files,
tables of text, arrays, remote files) the beginning is taken, since only that can be read without the rest.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from forge_gpu.config.schema import Config
from forge_gpu.errors import InputError
from forge_gpu.foretell.cut import Cut
from forge_gpu.io.dialects import Dialect
from forge_gpu.io.formats import Format, detect
from forge_gpu.io.inputs import InputFile, resolve
from forge_gpu.io.sources import is_in_place
from forge_gpu.plain import frozen

PIECE = 2**13
"""Bytes of a piece, at least."""
PLACES = 2048
"""That a share is taken from, at most."""
MOST_FILES = 256
"""That are looked into, evenly, where there are more."""


@frozen
class Pieces:
    """files: what the job reads instead. share: of the rows of all inputs. bytes: of the inputs that they
    are. places: that they are taken from. whole: whether they are the inputs themselves. heads: inputs of
    which only the beginning is known."""

    files: list[InputFile]
    share: float
    bytes: int
    places: int
    whole: bool
    heads: tuple[str, ...] = ()


def sizes_of(files: Sequence[InputFile]) -> list[int]:
    """Raises InputError where one is not known: such an input can be read once, and that is the job's."""
    for file in files:
        if file.is_stream or file.size is None:
            raise InputError(f"{file.path}: its size is not known, so that nothing can be foretold of it")
    return [file.size or 0 for file in files]


def take(files: Sequence[InputFile], config: Config, most: int, folder: Path) -> Pieces:
    """About `most` bytes of the inputs, as files below `folder`. Raises InputError."""
    sizes = sizes_of(files)
    total = sum(sizes)
    if total <= most:
        return Pieces(list(files), 1.0, total, 1, True)
    step = max(1, -(-len(files) // MOST_FILES))
    chosen = [(file, size) for file, size in zip(files, sizes, strict=True) if size][::step]
    fraction = min(1.0, most / max(sum(size for _, size in chosen), 1))
    chance = random.Random(config.preprocessing.seed)
    made, used, places, heads = [], 0.0, 0, []
    for number, (file, size) in enumerate(chosen):
        path = folder / f"{number}-{Path(file.path).name}"
        cut = _cut(file, config, fraction * size, path, chance)
        if cut.bytes:
            piece = resolve([str(path)])[0]
            made.append(replace(piece, path=file.path, given=file.given, split=file.split))
        used += cut.bytes
        places += cut.places
        heads += [file.path] if cut.is_head else []
    return Pieces(made, used / max(total, 1), int(used), max(places, 1), False, tuple(heads))


def _cut(file: InputFile, config: Config, most: float, path: Path, chance: random.Random) -> Cut:
    data = config.data
    format = detect(file, data.format, data.encoding, dialect=Dialect.of(data.dialect))
    in_place = is_in_place(file, format)
    if format.kind == "jsonl" and in_place and data.linked.id is None:
        return _lines(file, int(most), path, chance)
    if not format.is_text and not in_place:
        raise InputError(f"{file.path}: a table that is elsewhere, or compressed, cannot be looked into")
    if format.is_text:
        return _head(file, format, int(most), path)
    from forge_gpu.foretell.table_pieces import cut_table

    return cut_table(file, format, most, path)


def _lines(file: InputFile, most: int, path: Path, chance: random.Random) -> Cut:
    """The lines that begin in windows, one somewhere in each of as many equal parts of the file. So many
    small ones that two rows which are equal are both seen as often as chance has it, wherever they stand."""
    size = file.size or 0
    window = max(PIECE, most // PLACES)
    count = max(1, most // window)
    part, used = size / count, 0
    with file.open() as source, path.open("wb") as out:
        for number in range(count):
            begin = int(number * part + chance.random() * max(part - window, 0))
            for line in _lines_in(source, begin, window):
                used += len(line)
                out.write(line if line.endswith(b"\n") else line + b"\n")
    return Cut(float(used), count)


def _lines_in(source: BinaryIO, begin: int, window: int) -> Iterator[bytes]:
    """The lines that begin in the `window` bytes from `begin` on."""
    source.seek(max(begin - 1, 0))
    if begin:
        source.readline()  # what began before; nothing, where a line ends right before
    at = source.tell()
    while at < begin + window and (line := source.readline()):
        at += len(line)
        yield line


def _head(file: InputFile, format: Format, most: int, path: Path) -> Cut:
    """The first bytes of a file, cut where a record may end; how many they are. What the cut leaves torn, in
    a compressed file or an array, the job passes over: it is told to keep what comes before damage."""
    with file.open() as source:
        head = source.read(most)
    is_lines = format.compression is None and format.encoding == "utf-8" and format.layout is None
    if is_lines and format.kind != "json":
        head = head[: head.rfind(b"\n") + 1] or head
    path.write_bytes(head[: len(head) // 4 * 4] if format.encoding != "utf-8" else head)
    return Cut(float(len(head)), is_head=True)
