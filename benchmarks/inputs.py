"""The inputs of a size, made once and kept in benchmarks/data (which git ignores)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from benchmarks import generate, packed, work

FOLDER = Path(__file__).parent / "data"
MAKE = 1
"""Raised when the generator writes other bytes than before, so that old files are not taken for new ones."""

_KINDS = ("job", "flat", "chat", "near", "start", "memory", "frames")
"""What rows are of: the whole job, other flat files, conversations, near-duplicates, starting up, the
smallest file for memory, and frames in memory."""
_ROWS = {
    "tiny": (2_000, 2_000, 500, 500, 500, 500, 2_000),
    "small": (300_000, 30_000, 10_000, 10_000, 4_000, 30_000, 100_000),
    "baseline": (60_000, 2_000, 40_000, 8_000, 500, 500, 2_000),
    "gates": (300_000, 300_000, 50_000, 10_000, 4_000, 30_000, 300_000),
    "full": (300_000, 300_000, 200_000, 24_000, 4_000, 300_000, 1_000_000),
}
SIZES = {size: dict(zip(_KINDS, rows, strict=True)) for size, rows in _ROWS.items()}


class InputProblem(Exception):
    """A file given by the user cannot serve as the flat input."""


@dataclass(frozen=True)
class Inputs:
    """Where the files of a size are. flat_file: a real file to take instead of generated flat rows."""

    size: str
    flat_file: Path | None = None

    def job(self) -> tuple[Path, int]:
        """(path, rows) of the file for the whole job."""
        return self._flat("job")

    def packed(self, suffix: str) -> tuple[Path, int]:
        """The file for the whole job as ".jsonl.gz", ".jsonl.zst" or ".parquet"; see `packed.py`."""
        lines, rows = self.job()
        path = FOLDER / f"{lines.stem}-{lines.stat().st_size}{suffix}"
        if not path.exists():
            packed.write(lines, path)
        return path, rows

    def flat(self) -> tuple[Path, int]:
        """(path, rows) of the flat file for single steps."""
        return self._flat("flat")

    def _flat(self, which: str) -> tuple[Path, int]:
        if self.flat_file is not None:
            return self.flat_file, _count_flat(self.flat_file)
        return self._made("flat", SIZES[self.size][which])

    def frames(self) -> tuple[Path, int]:
        return self._flat("frames")

    def chat(self) -> tuple[Path, int]:
        return self._made("chat", SIZES[self.size]["chat"])

    def near(self) -> tuple[Path, int]:
        return self._made("flat", SIZES[self.size]["near"])

    def start(self) -> tuple[Path, int]:
        return self._made("flat", SIZES[self.size]["start"])

    def memory(self, times: int) -> tuple[Path, int]:
        return self._made("flat", SIZES[self.size]["memory"] * times)

    def _made(self, shape: generate.Shape, rows: int) -> tuple[Path, int]:
        path = FOLDER / f"{shape}-{rows}-v{MAKE}.jsonl"
        if not path.exists():
            generate.write(path, shape, rows)
        return path, rows


def _count_flat(path: Path) -> int:
    """Rows of a real file. Raises InputProblem at the first row that lacks a column or has no text there."""
    count = 0
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            count += 1
            try:
                row = json.loads(line)
                wrong = [name for name in work.COLUMNS if not isinstance(row.get(name), str)]
            except (ValueError, AttributeError):
                raise InputProblem(f"{path}:{number}: not a JSON object; give a JSONL file") from None
            if wrong:
                raise InputProblem(
                    f"{path}:{number}: no text in {', '.join(wrong)}; "
                    f"every row needs {', '.join(work.COLUMNS)}"
                )
    return count
