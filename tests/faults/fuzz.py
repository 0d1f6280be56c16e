"""Files of each format, damaged at random: a job on one ends, or refuses it with a line, and counts its rows.

    python -m tests.faults.fuzz [SECONDS] [SEED]

Exit 1 for a crash, a job that hangs, an error that is not one line, and rows that are counted or accepted
otherwise than the format's plain meaning has it. With FORGE_CHECKED_KERNELS=1 each access of a kernel is
checked.
"""

from __future__ import annotations

import gzip
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import zstandard

from tests.faults.injector import DONE, REFUSED, Injector, started
from tests.job import jobs

ROWS = 40
HANGS = 60
"""Seconds after which a job hangs: an untroubled one takes less than one."""


def _rows() -> list[dict[str, str]]:
    return [{"instruction": f"ask {i} “é”\n", "output": f'answer, "{i}"' * (i % 5 + 1)} for i in range(ROWS)]


def _lines() -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in _rows())


def _csv() -> bytes:
    fields = (",".join('"' + row[name].replace('"', '""') + '"' for name in row) for row in _rows())
    return ("instruction,output\n" + "\n".join(fields) + "\n").encode()


def _table() -> pa.Table:
    rows = _rows()
    return pa.table({name: [row[name] for row in rows] for name in rows[0]})


def _parquet(**options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(_table(), sink, row_group_size=15, **options)
    return bytes(sink.getvalue())


def _arrow(open_sink: Callable[..., Any]) -> bytes:
    sink = pa.BufferOutputStream()
    with open_sink(sink, _table().schema) as writer:
        writer.write_table(_table(), max_chunksize=15)
    return bytes(sink.getvalue())


FORMATS: dict[str, Callable[[], bytes]] = {
    "a.jsonl": _lines,
    "a.json": lambda: b"[" + b",\n".join(_lines().splitlines()) + b"]",
    "a.csv": _csv,
    "a.tsv": lambda: _csv().replace(b'","', b'"\t"').replace(b"n,o", b"n\to"),
    "plain.parquet": lambda: _parquet(use_dictionary=False, compression="none"),
    "coded.parquet": lambda: _parquet(compression="zstd"),
    "file.arrow": lambda: _arrow(ipc.new_file),
    "stream.arrow": lambda: _arrow(ipc.new_stream),
    "a.jsonl.gz": lambda: gzip.compress(_lines(), mtime=0),
    "a.jsonl.zst": lambda: bytes(zstandard.ZstdCompressor(write_checksum=True).compress(_lines())),
}
"""Whole files, by name."""


def damage(data: bytes, chance: random.Random) -> bytes:
    """The bytes with some of them changed, taken out, put in, said twice, or cut off."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(out) + 1)
        size = chance.choice((1, 1, 2, 8, 64))
        what = chance.randrange(6)
        if what == 0 and at < len(out):
            out[at] ^= 1 << chance.randrange(8)
        elif what == 1:
            del out[at : at + size]
        elif what == 2:
            out[at:at] = chance.randbytes(size)
        elif what == 3:
            out[at : at + size] = chance.choice((b"\0", b"\xff", b'"', b"\\", b"\n", b"{", b"]")) * size
        elif what == 4:
            out[at:at] = out[at : at + 8 * size]
        elif chance.random() < 0.3:
            del out[at:]
    return bytes(out)


def expected_lines(data: bytes) -> tuple[int, int]:
    """(rows, rows that can be used) of JSON lines, by another reader: lines that are not blank; objects in
    UTF-8 with both texts, in which no key stands twice."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    lines = [line for line in data.split(b"\n") if line.strip(b" \t\r\n")]
    return len(lines), sum(map(_is_usable, lines))


def _is_usable(line: bytes) -> bool:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    texts = (row.get(name) for name in ("instruction", "output")) if isinstance(row, dict) else (None,)
    return all(value is not None and not isinstance(value, (dict, list)) for value in texts)


@dataclass
class Fuzzed:
    """files: how many were tried, and refused as a whole. faults: what went wrong, each with its file."""

    files: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)


@contextmanager
def fuzzer() -> Iterator[tuple[Injector, Path]]:
    """What jobs are run by, and a folder for them."""
    with tempfile.TemporaryDirectory() as name, started(Path(name)) as injector:
        yield injector, Path(name)


def fuzz(
    injector: Injector, folder: Path, seconds: float, seed: int, found: Path, most: int = 10**9
) -> Fuzzed:
    """Try damaged files of all formats in turn, for so long, and no more than so many. found: a folder for
    those that something went wrong with."""
    result = Fuzzed()
    whole = {name: make() for name, make in FORMATS.items()}
    for name, data in whole.items():
        (folder / name).write_bytes(data)
        injector.warm(_plan(folder / name), _fresh(folder))
    until = time.monotonic() + seconds
    for number in range(most):
        name = list(whole)[number % len(whole)]
        if time.monotonic() > until:
            break
        data = damage(whole[name], random.Random(f"{seed} {number}"))
        (folder / name).write_bytes(data)
        run = injector.run(_plan(folder / name), _fresh(folder), seconds=HANGS)
        result.files += 1
        result.refused += run.end == REFUSED
        fault = ""
        if run.end not in (DONE, REFUSED):
            fault = f"{run.end} {run.message}"
        elif run.end == REFUSED and "\n" in run.message:
            fault = f"more than a line: {run.message}"
        elif run.end == DONE:
            fault = _miscounted(name, data, folder / "out")
        if fault:
            found.mkdir(parents=True, exist_ok=True)
            (found / f"{seed}-{number}-{name}").write_bytes(data)
            result.faults.append(f"seed {seed}, file {number}, {name}: {fault}")
    return result


def _miscounted(name: str, data: bytes, output: Path) -> str:
    """What is wrong with the counts of a job that ended; nothing where they are as they should be."""
    manifest = json.loads((output / "manifest.json").read_bytes())
    counts = manifest["counts"]
    if sum(counts.values()) != manifest["rows"]:
        return f"{manifest['rows']} rows, of which {counts}"
    if name.endswith((".gz", ".zst")):
        return (
            "" if manifest["rows"] == ROWS and not counts["rejected"] else f"damage passed for rows: {counts}"
        )
    if name == "a.jsonl":
        rows, usable = expected_lines(data)
        if (manifest["rows"], manifest["rows"] - counts["rejected"]) != (rows, usable):
            return f"{manifest['rows']} rows, {counts['rejected']} rejected; {usable} of {rows} can be used"
    return ""


def _plan(file: Path) -> dict[str, Any]:
    mapping = {"shape": "flat", "query": "instruction", "response": "output"}
    plan: dict[str, Any] = jobs.plan(file, data={"mapping": mapping}).model_dump(mode="json")
    return plan


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder / "out", ignore_errors=True)
    return folder / "out"


def main(seconds: float, seed: int) -> int:
    with fuzzer() as (injector, folder):
        result = fuzz(injector, folder, seconds, seed, Path("build/fuzz"))
    for fault in result.faults:
        print(fault)
    print(f"{result.files} files, {result.refused} refused, {len(result.faults)} faults; seed {seed}")
    return 1 if result.faults else 0


if __name__ == "__main__":
    given = [*sys.argv[1:], *("60", "1")[len(sys.argv) - 1 :]]
    sys.exit(main(float(given[0]), int(given[1])))
