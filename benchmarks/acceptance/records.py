"""Shapes of records in several spellings, and the files of a folder: how plan takes them, and what a job
makes of them.

    python -m benchmarks.acceptance.records shapes
    python -m benchmarks.acceptance.records files FOLDER

Each line says whether a shape is recognised, taken with the setting that plan names, or refused, and with
which line; and what became of the rows. Of files it also says each column that is not used: nothing may be
dropped without a word.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ruamel.yaml import YAML

import forge_gpu
from forge_gpu.errors import ForgeError

SHAPES = Path(__file__).with_name("shapes.yaml")
SETTING = re.compile(r"--set ((?!data\.mapping\.roles)[\w.]+=[^\s;,)]+)")
"""What plan asks to set; which role a strange name has is for the user to say."""
COPIES = 3
"""Rows of a spelling, so that plan has some to look at."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """how: "recognised", "by mapping" or "refused". line: what was said: the settings, or why it is refused.
    shape: how it is read. counts: fate -> rows. row: the first one, as it is written. warnings: of plan."""

    how: str
    line: str
    shape: str = ""
    counts: str = ""
    row: str = ""
    warnings: tuple[str, ...] = ()


def outcome(path: Path, folder: Path) -> Outcome:
    """What becomes of a file, with the settings that plan asks for."""
    settings: list[str] = []
    said = ""
    for _ in range(3):
        try:
            plan = forge_gpu.plan(data=path, settings=settings)
            break
        except ForgeError as refusal:
            asked = [each for each in SETTING.findall(str(refusal)) if each not in settings]
            if not asked or "=COLUMN" in str(refusal) or "=..." in str(refusal):
                return Outcome("refused", str(refusal).replace(f"{path}: ", ""))
            said = str(refusal)
            settings += asked
    else:
        return Outcome("refused", said.replace(f"{path}: ", ""))
    result = forge_gpu.prepare(plan.config, output=folder, allow_empty=True)
    mapping, by = plan.config.data.mapping, plan.config.data.convert.by
    return Outcome(
        "by mapping" if settings else "recognised",
        " ".join(settings),
        mapping.shape + (f" by {by}" if by else ""),
        ", ".join(f"{count} {fate}" for fate, count in result.counts.items() if count),
        _first_row(folder),
        (*plan.warnings, *(note for note in plan.notes if "not used" in note or "would be rejected" in note)),
    )


def _first_row(folder: Path) -> str:
    for split in ("train", "validation", "test"):
        path = folder / f"{split}.jsonl"
        if path.exists() and path.stat().st_size:
            with path.open(encoding="utf-8") as file:
                return file.readline().strip()
    return ""


def shapes() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(name, records) of each spelling; more than one record where they are linked."""
    named = YAML(typ="safe").load(SHAPES.read_text(encoding="utf-8"))
    for name, records in named.items():
        for record in records:
            yield name, record if isinstance(record, list) else [record]


def of_records(records: list[dict[str, Any]]) -> Outcome:
    """What becomes of a file of some records like these; no two of them are equal."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "f.jsonl"
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        copies = 1 if len(records) > 1 else COPIES
        rows = (text.replace("river", f"river {i}" if i else "river") for i in range(copies))
        path.write_text("".join(rows), encoding="utf-8")
        return outcome(path, Path(folder) / "out")


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["shapes"]:
        for name, records in shapes():
            _show(f"{name}: {', '.join(records[0])}", of_records(records))
    elif arguments[:1] == ["files"] and len(arguments) == 2:
        for path in sorted(each for each in Path(arguments[1]).rglob("*") if each.is_file()):
            with TemporaryDirectory() as folder:
                _show(str(path.relative_to(arguments[1])), outcome(path, Path(folder) / "out"))
    else:
        raise SystemExit(__doc__)


def _show(name: str, result: Outcome) -> None:
    shown = (result.how, name, result.shape, result.line[:300], result.counts, result.row[:160])
    print(" | ".join(shown))
    for warning in result.warnings:
        print(f"{'':10} |   {warning[:300]}")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
