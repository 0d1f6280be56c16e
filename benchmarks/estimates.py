"""What `forge estimate` says beside what `forge prepare` takes.

python -m benchmarks.estimates FOLDER [NAME ...]   # a table of all cases, or of those named
python -m benchmarks.estimates FOLDER --page       # and into docs/estimate.md

Inputs and outputs lie in FOLDER. Every case is estimated and prepared in several rounds over all cases, each
time by commands of their own, with rates that know nothing of this machine; medians count. Seconds are those
of the whole command, and those of processors, which other programs at work disturb less. The load of the
machine is said, since seconds foretold in a quiet minute are not those of a busy one.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from benchmarks.generate import Shape, write

TOKENIZER = Path(__file__).parents[1] / "examples" / "tokenizer.json"
TOKENS = ("output.form=tokens", f"tokens.tokenizer={TOKENIZER}", "model.max_length=4096")
NEAR = ("preprocessing.dedup.near.threshold=0.8",)
BOUNDS = {"seconds": 0.2, "cpu_seconds": 0.2, "peak_memory": 0.2, "output_bytes": 0.05, "tokens": 0.05}
PAGE = Path(__file__).parents[1] / "docs" / "estimate.md"
MARKS = "<!-- estimates -->", "<!-- end of estimates -->"
ROUNDS = 3
MIB = 2**20
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
    Case("chat, small", "chat", 2_000),
    Case("flat", "flat", 40_000),
    Case("flat, large", "flat", 120_000),
    Case("flat, no copies", "flat", 40_000, copies=0),
    Case("flat, many copies", "flat", 40_000, copies=0.4),
    Case("chat", "chat", 20_000),
    Case("chat, large", "chat", 50_000),
    Case("tools", "tools", 15_000),
    Case("flat, Parquet", "flat", 40_000, "parquet"),
    Case("chat, Parquet", "chat", 20_000, "parquet"),
    Case("flat, gzip", "flat", 30_000, "jsonl.gz"),
    Case("chat, gzip", "chat", 15_000, "jsonl.gz"),
    Case("flat, CSV", "flat", 30_000, "csv"),
    Case("flat, JSON array", "flat", 30_000, "json"),
    Case("flat, near", "flat", 15_000, settings=NEAR),
    Case("chat, near", "chat", 7_500, settings=NEAR),
    Case("flat, tokens", "flat", 15_000, settings=TOKENS),
    Case("chat, tokens", "chat", 7_500, settings=TOKENS),
    Case("flat, packs", "flat", 15_000, settings=(*TOKENS, "output.packing=bfd")),
    Case("flat, tokens, Parquet", "flat", 15_000, "parquet", settings=(*TOKENS, "output.format=parquet")),
    Case("flat, to Parquet", "flat", 30_000, settings=("output.format=parquet",)),
    Case("flat, shuffled", "flat", 30_000, settings=("output.order=shuffled",)),
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


@dataclass(frozen=True)
class Took:
    """seconds, cpu_seconds: of a command, from outside."""

    output: str
    seconds: float
    cpu_seconds: float


def forge(folder: Path, *arguments: str) -> Took:
    command = [str(Path(sys.executable).with_name("forge")), *arguments]
    variables = os.environ | {"FORGE_RATES": str(folder / "rates.json")}
    before, began = os.times(), time.monotonic()
    ended = subprocess.run(command, cwd=folder, env=variables, check=True, capture_output=True, text=True)
    after, seconds = os.times(), time.monotonic() - began
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Took(ended.stdout, seconds, cpu)


def planned(case: Case, folder: Path) -> None:
    """Make the input of a case, and its plan."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    settings = [part for setting in case.settings for part in ("--set", setting)]
    forge(folder, "plan", "--data", made(case, folder).name, "--template", "chatml", *settings)


def measured(case: Case, folder: Path) -> Result:
    """What is foretold of a case, and what comes."""
    (folder / "rates.json").unlink(missing_ok=True)
    shutil.rmtree(folder / "prepared", ignore_errors=True)
    said = json.loads(forge(folder, "estimate", "--json", "--seconds", LOOK).output)
    took = forge(folder, "prepare")
    manifest = json.loads((folder / "prepared" / "manifest.json").read_text())
    counts, run = manifest["counts"], manifest["run"]
    whole = {
        "seconds": said["seconds"]["value"],
        "cpu_seconds": sum(each["value"] for each in said["cpu"].values()),
    }
    return Result(
        (folder / f"input.{case.kind}").stat().st_size,
        (counts["duplicate"] + counts["near_duplicate"]) / max(sum(counts.values()), 1),
        run["foretold"] | whole,
        run["measured"] | {"seconds": took.seconds, "cpu_seconds": took.cpu_seconds},
    )


@dataclass(frozen=True)
class Result:
    """bytes: of input. gone: the share of rows that went as duplicates. said, came: figures by name."""

    bytes: int
    gone: float
    said: dict[str, float]
    came: dict[str, float]

    def off(self, name: str) -> float | None:
        """By which share of what came the estimate was off."""
        if name not in self.said:
            return None
        return (self.said[name] - self.came[name]) / max(self.came[name], 1e-9)


def middle(results: Sequence[Result]) -> Result:
    """The medians of several rounds."""
    last = results[-1]
    said = {name: median(each.said[name] for each in results) for name in last.said}
    came = {name: median(each.came[name] for each in results) for name in last.came}
    return Result(last.bytes, last.gone, said, came)


def line(case: Case, result: Result) -> str:
    said, came = result.said, result.came
    shares = {name: result.off(name) for name in BOUNDS}
    text = {name: "" if share is None else f"{share:+.0%}" for name, share in shares.items()}
    return (
        f"| {case.name} | {result.bytes / MIB:.1f} | {result.gone:.1%} "
        f"| {said['seconds']:.1f} / {came['seconds']:.1f} | {text['seconds']} "
        f"| {said['cpu_seconds']:.1f} / {came['cpu_seconds']:.1f} | {text['cpu_seconds']} "
        f"| {said['peak_memory'] / MIB:.0f} / {came['peak_memory'] / MIB:.0f} | {text['peak_memory']} "
        f"| {text['output_bytes']} | {text['tokens']} |"
    )


def summary(results: Sequence[Result]) -> Iterator[str]:
    """How many of the cases are within the bounds; bytes and tokens of those with few copies alone."""
    for name, bound in BOUNDS.items():
        asked = results if bound > FEW_COPIES else [each for each in results if each.gone < FEW_COPIES]
        shares = [abs(share) for each in asked if (share := each.off(name)) is not None]
        within = sum(share <= bound for share in shares)
        yield f"- {name.replace('_', ' ')}: within {bound:.0%} in {within} of {len(shares)}"


def main(folder: Path, names: Sequence[str], rounds: int, into_page: bool) -> None:
    cases = [case for case in CASES if not names or case.name in names]
    folders = {case.name: folder / case.name.replace(", ", "-").replace(" ", "-") for case in cases}
    for case in cases:
        planned(case, folders[case.name])
    results: dict[str, list[Result]] = {case.name: [] for case in cases}
    load = []
    for number in range(rounds):
        for case in cases:
            results[case.name].append(measured(case, folders[case.name]))
            load.append(os.getloadavg()[0])
            print(f"round {number + 1}", line(case, results[case.name][-1]), file=sys.stderr, flush=True)
    medians = {case: middle(results[case.name]) for case in cases}
    lines = [
        "| input | MiB | copies | seconds | | of processors | | peak MiB | | bytes | tokens |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(line(case, result) for case, result in medians.items()),
        "",
        *summary(list(medians.values())),
        "",
        f"Medians of {rounds} rounds on {os.cpu_count()} cores, with a load of {min(load):.1f} to "
        f"{max(load):.1f}, {median(load):.1f} in the middle. The commands alone make one of about 1.",
    ]
    print(*lines, sep="\n")
    if into_page:
        text = PAGE.read_text("utf-8")
        before, rest = text.split(MARKS[0])
        after = rest.split(MARKS[1])[1]
        PAGE.write_text("\n".join([before + MARKS[0], "", *lines, "", MARKS[1] + after]), "utf-8")
    for each in folders.values():
        shutil.rmtree(each)


if __name__ == "__main__":
    options = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("names", nargs="*", help="of cases; all by default")
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--page", action="store_true", help="write the table into docs/estimate.md")
    given = options.parse_args()
    main(given.folder, given.names, given.rounds, given.page)
