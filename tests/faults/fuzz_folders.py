"""Prepared folders, damaged at random: what reads them refuses them with a line, or reads them as they were.

    python -m tests.faults.fuzz_folders [SECONDS] [SEED] [MOST]

`forge verify`, `repack`, `mix` and `forge_gpu.open` are tried on each. Exit 1 for an error that is not one
line, for a hang, and for damage that is not noticed: a folder that `verify` calls sound, or tokens that are
other than before.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from forge_gpu.audit.folder import verify_folder
from forge_gpu.derive.mix import mix
from forge_gpu.derive.repack import repack
from forge_gpu.errors import ForgeError
from forge_gpu.job.output.result import LEDGER, MANIFEST
from forge_gpu.loading.mixture import MIXTURE
from forge_gpu.loading.opened import open as open_folder
from tests.faults.fuzz import damage
from tests.job import jobs
from tests.loading.made import tokens

ROWS = 40
HANGS = 30
"""Seconds after which one command hangs: an untroubled one takes a tenth of one."""
SOUND = "sound"
"""A folder of the same tokenizer, which is mixed with a damaged one."""
MIXED = "mixture"
PACKED = {"packing": "bfd", "pack_length": 200}
FOLDERS: dict[str, dict[str, Any]] = {
    "tokens": {},
    "tokens-parquet": {"format": "parquet"},
    "packs": {**PACKED, "rows_per_shard": 2},
    "packs-wrapped": {"packing": "wrapped", "pack_length": 100, "format": "parquet"},
    "mds": {**PACKED, "format": "mds"},
    "swift": {"format": "swift"},
    "nanogpt": {"format": "nanogpt"},
}
"""Sections `output`, by name. A folder of text and a mixture come beside them."""

ODD: tuple[Any, ...] = (None, -1, 0, 2**63, 1e308, "", "x", "../../x", "\ud7ff", True, [], [1], {}, {"x": 1})


@dataclass
class Tried:
    """folders: how many were tried. refused: commands that refused one. faults: what went wrong."""

    folders: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)


def verified(folder: Path, work: Path) -> str:
    return "ok" if verify_folder(folder).is_valid else "amiss"


def repacked(folder: Path, work: Path) -> str:
    repack(folder, work / "repacked", length=300)
    return _digest(work / "repacked")


def mixed(folder: Path, work: Path) -> str:
    mix([folder, work / SOUND], work / "mixed")
    return hashlib.sha256((work / "mixed/train.index").read_bytes()).hexdigest()


def read(folder: Path, work: Path) -> str:
    """A pass over its tokens."""
    digest = hashlib.sha256()
    opened = open_folder(folder)
    for split in sorted(opened.splits):
        for batch in opened.reader(split, batch_tokens=1000, shuffle=False):
            for values in (batch.input_ids, batch.labels, batch.lengths):
                digest.update(values.tobytes())
    return digest.hexdigest()


COMMANDS: dict[str, Callable[[Path, Path], str]] = {
    "verify": verified,
    "repack": repacked,
    "mix": mixed,
    "open": read,
}


def _digest(folder: Path) -> str:
    files = jobs.content(folder)
    return str(sorted((name, digest) for name, digest in files.items() if name != MANIFEST))


class Hang(BaseException):
    """Not an Exception, so that nothing takes it for a fault of the data."""


def _hang(signum: int, frame: FrameType | None) -> None:
    raise Hang


def tried(command: Callable[[Path, Path], str], folder: Path, work: Path) -> tuple[str, str]:
    """(what came of it: done, refused or wrong; the result, or the error)."""
    for name in ("repacked", "mixed"):
        shutil.rmtree(work / name, ignore_errors=True)
    signal.alarm(HANGS)
    try:
        return "done", command(folder, work)
    except ForgeError as fault:
        return ("wrong" if "\n" in str(fault) else "refused"), str(fault)
    except Hang:
        return "wrong", "it hangs"
    except Exception as fault:
        return "wrong", f"{type(fault).__name__}: {fault}"
    finally:
        signal.alarm(0)


def make(work: Path) -> dict[str, Path]:
    """The sound folders, by name."""
    made = {name: tokens(work / "made" / name, ROWS, **output) for name, output in FOLDERS.items()}
    source = jobs.write_lines(work / "rows.jsonl", [*jobs.rows(ROWS), {"instruction": "unanswered"}])
    made["text"] = work / "made/text"
    jobs.run(jobs.plan(source), made["text"])
    tokens(work / "sound-made", ROWS, first=ROWS).rename(work / SOUND)
    made[MIXED] = work / "made" / MIXED
    mix([work / SOUND, work / SOUND], made[MIXED])
    return made


def damaged(folder: Path, chance: random.Random) -> str:
    """Damage one file of a folder; its name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and ".forge" not in path.parts)
    documents = [path for path in files if path.name in (MANIFEST, MIXTURE)]
    path = chance.choice(documents if documents and chance.random() < 0.3 else files)
    if path in documents and chance.random() < 0.8:
        document = orjson.loads(path.read_bytes())
        holders = list(_holders(document))
        holder = chance.choice(holders)
        key = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        if chance.random() < 0.3:
            del holder[key]
        else:
            holder[key] = chance.choice(ODD)
        path.write_text(json.dumps(document))
    elif chance.random() < 0.05:
        path.unlink()
    else:
        path.write_bytes(damage(path.read_bytes(), chance))
    return path.relative_to(folder).as_posix()


def _holders(value: Any) -> Iterator[Any]:
    """Every object and array of a document that holds something."""
    if isinstance(value, dict | list) and value:
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _holders(inner)


def is_same(name: str, before: Path, after: Path) -> bool:
    """Whether a damaged file says what it said, or says nothing that can be derived anew."""
    if not after.exists():
        return False
    if name == LEDGER:
        try:
            return bool(pq.read_table(before).equals(pq.read_table(after)))
        except (OSError, pa.ArrowException):
            return False
    if name != MANIFEST:
        return before.read_bytes() == after.read_bytes()
    derived = ("counts", "rejected", "rows", "outputs")
    try:
        old, new = (orjson.loads(path.read_bytes()) for path in (before, after))
    except orjson.JSONDecodeError:
        return False
    return isinstance(new, dict) and all(_plain(old[key]) == _plain(new.get(key)) for key in derived)


def _plain(value: Any) -> Any:
    """Counts without those that are 0, as 0 and nothing say the same."""
    return {key: inner for key, inner in value.items() if inner} if isinstance(value, dict) else value


def fuzz(work: Path, seconds: float, seed: int, most: int = 10**9) -> Tried:
    """Damage folders of all kinds in turn, for so long, and no more than so many."""
    result, signals = Tried(), signal.signal(signal.SIGALRM, _hang)
    sound = make(work)
    plain = {name: _all(_copy(folder, work), work) for name, folder in sound.items()}
    until = time.monotonic() + seconds
    for number in range(most):
        kind = list(sound)[number % len(sound)]
        if time.monotonic() > until:
            break
        folder = _copy(sound[kind], work)
        name = damaged(folder, random.Random(f"{seed} {number}"))
        same = is_same(name, sound[kind] / name, folder / name)
        result.folders += 1
        for command, (end, said) in _all(folder, work).items():
            result.refused += end == "refused"
            if fault := _amiss(command, name, same, (end, said), plain[kind][command]):
                result.faults.append(f"seed {seed}, folder {number}, {kind}/{name}, {command}: {fault}")
    signal.signal(signal.SIGALRM, signals)
    return result


def _all(folder: Path, work: Path) -> dict[str, tuple[str, str]]:
    return {name: tried(command, folder, work) for name, command in COMMANDS.items()}


def _amiss(command: str, name: str, same: bool, came: tuple[str, str], before: tuple[str, str]) -> str:
    """What is wrong with what a command made of a damaged folder; nothing where it is as it should be."""
    end, said = came
    if end == "wrong":
        return said
    if end == "refused":
        return ""
    if command == "verify":
        return "it is called sound" if said == "ok" and not same else ""
    if name in (MANIFEST, MIXTURE):
        return ""  # another plan, which nothing contradicts
    return "" if said == before[1] else "damage passed for tokens"


def _copy(folder: Path, work: Path) -> Path:
    target = work / "tried"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("mapped"))
    return target


def main(seconds: float, seed: int, most: int = 10**9) -> int:
    with tempfile.TemporaryDirectory() as name:
        result = fuzz(Path(name), seconds, seed, most)
    for fault in result.faults:
        print(fault)
    counts = f"{result.folders} folders, {result.refused} commands refused, {len(result.faults)} faults"
    print(f"{counts}; seed {seed}")
    return 1 if result.faults else 0


if __name__ == "__main__":
    given = [*sys.argv[1:], *("60", "1", "1000000000")[len(sys.argv) - 1 :]]
    sys.exit(main(float(given[0]), int(given[1]), int(given[2])))
