"""Deciding the packs of many rows, beside TRL's packing of the same table: CPU seconds, and whether the bins,
their order and the places in them are equal. And the memory of a job's whole decision, by VmHWM.

    python -m benchmarks.acceptance.packs ROWS [PYTHON]

PYTHON is that of an environment with TRL, as `make trainers` leaves it. Rows are short (20 tokens on average,
packs of 128), so that TRL's table of ten million fits in memory; a token says which row it is of.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

PACK = 128


def lengths_of(rows: int) -> Any:
    """Log-normal, uint32[n]."""
    drawn = np.random.default_rng(7).lognormal(2.8, 0.6, rows)
    return np.clip(drawn, 1, PACK).astype(np.uint32)


def digest(order: Any, counts: Any) -> str:
    """order: the rows, pack by pack; counts: how many each pack has."""
    hashed = hashlib.sha256(np.asarray(order, "<i8").tobytes())
    hashed.update(np.asarray(counts, "<i8").tobytes())
    return hashed.hexdigest()


def ours(lengths: Any) -> dict[str, Any]:
    from forge_gpu.packs.places import PACKERS

    PACKERS["bfd"](lengths[:1000], PACK, None)  # compiled
    began = time.process_time()
    packs = PACKERS["bfd"](lengths, PACK, None)
    seconds = time.process_time() - began
    counts = np.bincount(packs.places[:, 0], minlength=packs.count)
    return {"seconds": seconds, "packs": packs.count, "digest": digest(np.argsort(packs.ranks), counts)}


def of_trl(lengths: Any) -> dict[str, Any]:
    import pyarrow as pa
    from trl.data_utils import _pack_bfd

    at = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    rows = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    table = pa.table({"input_ids": pa.LargeListArray.from_arrays(at, rows)})
    began = time.process_time()
    packed = _pack_bfd(table, PACK).combine_chunks()
    seconds = time.process_time() - began
    counts = pa.compute.list_value_length(packed["seq_lengths"]).to_numpy()
    ids = packed["input_ids"].combine_chunks().flatten().to_numpy()
    begins = np.concatenate([[True], ids[1:] != ids[:-1]])
    return {"seconds": seconds, "packs": len(packed), "digest": digest(ids[begins], counts)}


def memory(lengths: Any) -> float:
    """Bytes a row that the step of a job takes at its peak, beside the lengths, which a job has in a file:
    nineteen rows in twenty are trained on."""
    from forge_gpu.job.decide.packing import packs
    from forge_gpu.packs.places import PACKERS

    n = len(lengths)
    table = np.zeros(n, [("tokens", np.uint32)])
    table["tokens"] = lengths
    output = SimpleNamespace(packing="bfd", pack_length=PACK, pack_within="any", pad_rows_to=1, pad_to=1)
    case: Any = SimpleNamespace(
        config=SimpleNamespace(output=output), tokens=table, beside=0, facts=SimpleNamespace(rows=n)
    )

    def copies_of(rows: Any) -> tuple[Any, Any]:
        numbers = np.flatnonzero(rows)
        return numbers, numbers

    verdict: Any = SimpleNamespace(
        fate=(np.arange(n) % 20 == 0).astype(np.uint8), rank=None, first_copy=None, sections={},
        copies_of=copies_of,
    )  # fmt: skip
    PACKERS["bfd"](lengths[:1000], PACK, None)  # compiled
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
    packs(case, verdict)
    return (resident("VmHWM") - before) / n


def resident(key: str) -> int:
    """Bytes."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[key].split()[0]) * 1024


def beside(python: str, *arguments: str) -> Any:
    """What this file prints in a process of its own."""
    command = [python, __file__, *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main(rows: str, python: str | None = None) -> int:
    lengths = lengths_of(int(rows))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lengths.npy"
        np.save(file, lengths)
        print(f"memory: {beside(sys.executable, '--memory', str(file)):.1f} bytes a row at the peak")
        mine = ours(lengths)
        if python is None:
            print(f"forge: {mine['seconds']:.2f} s of {int(rows):,} rows, {mine['packs']:,} packs")
            return 0
        theirs = beside(python, "--trl", str(file))
    for name, made in (("forge", mine), ("trl", theirs)):
        print(f"{name}: {made['seconds']:.2f} s of {int(rows):,} rows, {made['packs']:,} packs")
    is_equal = mine["digest"] == theirs["digest"]
    print(f"bins {'equal' if is_equal else 'DIFFER'}, {theirs['seconds'] / mine['seconds']:.0f} times")
    return 0 if is_equal else 1


if __name__ == "__main__":
    if sys.argv[1] == "--trl":
        print(json.dumps(of_trl(np.load(sys.argv[2]))))
    elif sys.argv[1] == "--memory":
        print(json.dumps(memory(np.load(sys.argv[2], mmap_mode="r"))))
    else:
        raise SystemExit(main(*sys.argv[1:]))
