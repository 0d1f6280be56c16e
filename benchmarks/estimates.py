"""What `forge estimate` says beside what `forge prepare` takes: `python -m benchmarks.estimates FOLDER`.

Each case is made anew, estimated, and prepared, each as a command of its own, with rates that know nothing of
this machine. Inputs and outputs lie in FOLDER, a case at a time. Prints a Markdown table, and which share of
the cases is within the bounds. A case that is named after FOLDER is run alone.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from benchmarks.generate import Shape, write

TOKENIZER = Path(__file__).parents[1] / "examples" / "tokenizer.json"
TOKENS = ("output.form=tokens", f"tokens.tokenizer={TOKENIZER}", "model.max_length=4096")
NEAR = ("preprocessing.dedup.near.threshold=0.8",)
BOUNDS = {"seconds": 0.2, "peak_memory": 0.2, "output_bytes": 0.05, "tokens": 0.05}
LOOK = "1"
"""Seconds that an estimate may look: so that it sees a part of these inputs, and not the whole."""
FEW_COPIES = 0.05
"""The share of rows that go as duplicates, below which bytes and tokens are to be near."""


@dataclass(frozen=True)
class Case:
    """rows: of the input. kind: the suffix of its file. copies: the share of rows that repeat another."""

    name: str
    shape: Shape
    rows: int
    kind: str = "jsonl"
    copies: float = 0.02
    settings: tuple[str, ...] = field(default=())


CASES = (
    Case("flat, small", "flat", 500),
    Case("flat", "flat", 10_000),
    Case("flat, large", "flat", 30_000),
    Case("flat, no copies", "flat", 10_000, copies=0),
    Case("flat, many copies", "flat", 10_000, copies=0.4),
    Case("chat", "chat", 7_500),
    Case("chat, large", "chat", 20_000),
    Case("tools", "tools", 5_000),
    Case("flat, Parquet", "flat", 10_000, "parquet"),
    Case("chat, Parquet", "chat", 5_000, "parquet"),
    Case("flat, gzip", "flat", 10_000, "jsonl.gz"),
    Case("chat, gzip", "chat", 5_000, "jsonl.gz"),
    Case("flat, CSV", "flat", 10_000, "csv"),
    Case("flat, JSON array", "flat", 7_500, "json"),
    Case("flat, near", "flat", 5_000, settings=NEAR),
    Case("chat, near", "chat", 3_750, settings=NEAR),
    Case("flat, tokens", "flat", 5_000, settings=TOKENS),
    Case("chat, tokens", "chat", 3_750, settings=TOKENS),
    Case("flat, packs", "flat", 5_000, settings=(*TOKENS, "output.packing=bfd")),
    Case("flat, tokens, Parquet", "flat", 5_000, "parquet", settings=(*TOKENS, "output.format=parquet")),
    Case("flat, to Parquet", "flat", 10_000, settings=("output.format=parquet",)),
    Case("flat, shuffled", "flat", 10_000, settings=("output.order=shuffled",)),
)


def made(case: Case, folder: Path) -> Path:
    """The input of a case."""
    lines, path = folder / "made.jsonl", folder / f"input.{case.kind}"
    write(lines, case.shape, case.rows, exact=case.copies, near=0.01)
    match case.kind:
        case "jsonl":
            lines.rename(path)
        case "jsonl.gz":
            path.write_bytes(gzip.compress(lines.read_bytes(), 1))
        case "json":
            path.write_text("[" + ",\n".join(lines.read_text("utf-8").splitlines()) + "]", "utf-8")
        case "csv":
            pyarrow.csv.write_csv(pyarrow.json.read_json(lines), path)
        case "parquet":
            pyarrow.parquet.write_table(pyarrow.json.read_json(lines), path, row_group_size=2_000)
    return path


def forge(folder: Path, *arguments: str) -> str:
    command = [str(Path(sys.executable).with_name("forge")), *arguments]
    variables = os.environ | {"FORGE_RATES": str(folder / "rates.json")}
    return subprocess.run(
        command, cwd=folder, env=variables, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def measured(case: Case, folder: Path) -> dict[str, Any]:
    """What was foretold, what came, and the share of rows that went as duplicates."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    settings = [part for setting in case.settings for part in ("--set", setting)]
    path = made(case, folder)
    forge(folder, "plan", "--data", path.name, "--template", "chatml", *settings)
    forge(folder, "estimate", "--json", "--seconds", LOOK)
    forge(folder, "prepare")
    manifest = json.loads((folder / "prepared" / "manifest.json").read_text())
    counts = manifest["counts"]
    gone = (counts["duplicate"] + counts["near_duplicate"]) / max(sum(counts.values()), 1)
    size = path.stat().st_size
    shutil.rmtree(folder)
    run = manifest["run"]
    return {"bytes": size, "gone": gone, "foretold": run["foretold"], "measured": run["measured"]}


def off(result: dict[str, Any], name: str) -> float | None:
    """By which share of what came the estimate was off."""
    if name not in result["foretold"]:
        return None
    came = result["measured"][name]
    return float((result["foretold"][name] - came) / max(came, 1e-9))


def line(case: Case, result: dict[str, Any]) -> str:
    said, came = result["foretold"], result["measured"]
    shares = {name: off(result, name) for name in BOUNDS}
    text = {name: "" if share is None else f"{share:+.0%}" for name, share in shares.items()}
    return (
        f"| {case.name} | {result['bytes'] / 2**20:.1f} | {result['gone']:.1%} "
        f"| {said['seconds']:.1f} / {came['seconds']:.1f} | {text['seconds']} "
        f"| {said['peak_memory'] / 2**20:.0f} / {came['peak_memory'] / 2**20:.0f} | {text['peak_memory']} "
        f"| {text['output_bytes']} | {text['tokens']} |"
    )


def summary(results: list[dict[str, Any]]) -> list[str]:
    """How many of the cases are within the bounds; bytes and tokens of those with few copies alone."""
    lines = []
    for name, bound in BOUNDS.items():
        asked = results if bound > FEW_COPIES else [each for each in results if each["gone"] < FEW_COPIES]
        shares = [abs(share) for each in asked if (share := off(each, name)) is not None]
        within = sum(share <= bound for share in shares)
        lines.append(f"{name}: within {bound:.0%} in {within} of {len(shares)}")
    return lines


def main(folder: Path, names: list[str]) -> None:
    print("| input | MiB | copies | seconds | | peak MiB | | bytes | tokens |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    results = []
    for case in CASES:
        if names and case.name not in names:
            continue
        results.append(measured(case, folder / "case"))
        print(line(case, results[-1]), flush=True)
    print("", *summary(results), sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
