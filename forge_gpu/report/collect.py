"""Looks at a job as it goes, and leaves report.html when it is whole."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from forge_gpu.config.schema import Config
from forge_gpu.errors import InputError, OutputError
from forge_gpu.job.events.dispatch import public_text
from forge_gpu.job.events.events import ChunkDone, Event, Listener, Sampled, StageStarted, Warned
from forge_gpu.job.events.stages import stage
from forge_gpu.job.output.collector import SeenRow
from forge_gpu.job.output.result import LEDGER, MANIFEST, PAGE
from forge_gpu.job.state.place import FOLDER
from forge_gpu.kernels.layout import I64

if TYPE_CHECKING:
    from forge_gpu.job.state.decisions import Decisions
    from forge_gpu.report.shown import Segment

ROWS = "report-rows.jsonl"
RUN = "report-run.json"
Shown = tuple[list["Segment"], int]
"""Segments of a row, and how many characters are left away."""

TEXTS = (4000, 1500, 500, 120)
"""Characters of a text that are shown: the most of these by which the page is not too large."""


class ReportCollector:
    """A job's collector, and a listener of its events. command: as it was given, without secrets."""

    def __init__(self, command: Sequence[str]) -> None:
        self._run: dict[str, Any] = {"command": list(command), "memory": {}}
        self._rows: Path | None = None

    def __call__(self, event: Event) -> None:
        """Note the most memory of each stage."""
        memory: dict[str, int] = self._run["memory"]
        match event:
            case Sampled(stage=name, memory=held):
                memory[name] = max(memory.get(name, 0), held)
            case ChunkDone(stage=name, peak_memory=held):
                memory[name] = max(memory.get(name, 0), held)
            case StageStarted(stage=name):
                memory.setdefault(name, 0)

    def choose(self, output: Path, decisions: Decisions, goes_on: bool) -> I64:
        """A few rows of each fate; see `report.choose`."""
        from forge_gpu.report.choose import choose  # `forge report` does without what a job needs

        chosen = choose(decisions)
        self._run["clusters"] = {str(number): size for number, size in chosen.clusters.items()}
        self._run["members"] = chosen.members
        self._run["samples"] = chosen.samples
        self._run["strata"] = chosen.strata
        self._rows = output / FOLDER / ROWS
        if not goes_on:
            self._rows.unlink(missing_ok=True)
        return chosen.rows()

    def take(self, rows: Sequence[SeenRow]) -> None:
        """Note them beside the checkpoint, so that a run that goes on has them."""
        assert self._rows is not None
        lines = [
            orjson.dumps(asdict(row) | {"source": base64.b64encode(row.source).decode()}) for row in rows
        ]
        with suppress(OSError), self._rows.open("ab") as file:  # a full disk is for the outputs to tell
            file.write(b"".join(line + b"\n" for line in lines))

    def finish(self, output: Path, manifest: dict[str, Any], listener: Listener) -> None:
        """Leave the page. What hinders it is a warning: the output is whole without."""
        if self._rows is None and (output / PAGE).exists():
            return
        try:
            with stage("report", listener) as done:
                if self._rows is not None:
                    self._run["segments"] = _segments(manifest, self._run["samples"], _read_rows(output))
                    (output / FOLDER / RUN).write_bytes(orjson.dumps(self._run))
                _leave(output, manifest)
                done(manifest["rows"])
        except Exception as fault:
            listener(Warned("report", f"{PAGE} was not made: {public_text(fault)}"))


def make_report(output: Path) -> Path:
    """Make the page of a finished job anew; its path. Raises InputError, OutputError."""
    try:
        manifest = orjson.loads((output / MANIFEST).read_bytes())
        if "forge" not in manifest:
            raise ValueError
    except (OSError, ValueError, TypeError):
        raise InputError(f"{output}: holds no finished output of forge prepare") from None
    _leave(output, manifest)
    return output / PAGE


def _leave(output: Path, manifest: dict[str, Any]) -> None:
    from forge_gpu.report.page import write_page

    write_page(output / PAGE, report_of(output, manifest))


def report_of(output: Path, manifest: dict[str, Any]) -> bytes:
    """The page of an output."""
    from forge_gpu.report.document import document
    from forge_gpu.report.measure import measure
    from forge_gpu.report.page import MOST_BYTES, html_page

    run, seen = _read_run(output), _read_rows(output)
    if "segments" not in run:
        run["segments"] = _segments(manifest, run.get("samples", []), seen)
    measures = measure(output / LEDGER, seen)
    for most in TEXTS:
        page = html_page("report.js", f"{output.name}: Forge", document(manifest, measures, seen, run, most))
        if len(page) <= MOST_BYTES:
            return page
    raise OutputError(f"{output / PAGE}: the report would be larger than {MOST_BYTES:,} bytes")


def _segments(
    manifest: dict[str, Any], samples: Sequence[int], seen: Mapping[int, SeenRow]
) -> dict[str, Shown]:
    """The chosen rows as the model sees them, by their numbers: at most so much of each as a page shows.

    They are noted with the run, since rendering needs all that a job needs.
    """
    from forge_gpu.report.samples import segments_of
    from forge_gpu.report.shown import shortened

    numbers = [number for number in samples if number in seen]
    made = segments_of(Config.model_validate(manifest["config"]), [seen[number].source for number in numbers])
    return {
        str(number): shortened(segments, TEXTS[0])
        for number, segments in zip(numbers, made, strict=True)
        if segments is not None
    }


def _read_run(output: Path) -> dict[str, Any]:
    try:
        run: dict[str, Any] = orjson.loads((output / FOLDER / RUN).read_bytes())
    except (OSError, ValueError):
        return {}
    return run


def _read_rows(output: Path) -> Mapping[int, SeenRow]:
    """The rows that were noted; a line that a killed run has torn is passed over."""
    rows = {}
    try:
        lines = (output / FOLDER / ROWS).read_bytes().splitlines()
    except OSError:
        return {}
    for line in lines:
        try:
            record = orjson.loads(line)
            row = SeenRow(**record | {"source": base64.b64decode(record["source"])})
        except (ValueError, TypeError, KeyError):
            continue
        rows[row.number] = row
    return rows
