"""Files before there is a plan: one pass over everything that is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from forge_gpu.audit.columns import ColumnCounts
from forge_gpu.audit.quality_report import Example, FileReport, Finding, QualityReport
from forge_gpu.audit.repeats import Repeats
from forge_gpu.config.schema import (
    Checks,
    Config,
    DataConfig,
    Mapping,
    Near,
    OutputConfig,
    PreprocessingConfig,
)
from forge_gpu.config.schema import Convert as ConvertSettings
from forge_gpu.config.schema import Dedup as DedupSettings
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.errors import InputError
from forge_gpu.fates import Reason, name
from forge_gpu.io.chunks import Chunk, Source
from forge_gpu.io.inputs import InputFile, resolve
from forge_gpu.io.linked import Links
from forge_gpu.io.sources import open_source
from forge_gpu.io.spool import Spool
from forge_gpu.job.output.rejected import LineCounter, rejected_record
from forge_gpu.job.rows.rows import Rows
from forge_gpu.job.rows.workspace import Workspace
from forge_gpu.plain import mutable
from forge_gpu.planner.columns import columns_of
from forge_gpu.planner.inspect import inspect
from forge_gpu.planner.mapping import Picked
from forge_gpu.planner.sample import sample
from forge_gpu.quality.checks import ANSWERS, REASONS
from forge_gpu.quality.language import detector, has_detector

CHUNK_BYTES = 2**20
MOST_EXAMPLES = 3
SPOOLED = 2**26
"""Bytes of what has to be decoded that are held in memory."""
WARNING = {check: "warn" for check in REASONS if check != "language"}
"""Of languages there is a count instead, as no one is asked for."""
FILTERS = ("gopher", "c4")
"""Checks that most answers of a chat fail, as they are made for web pages: they are no faults of the data."""


def check_inputs(paths: Sequence[str], base: Path | None = None) -> QualityReport:
    """Look at all of the files that paths name. What cannot be read of a file is told of, and the rest read.

    Raises InputError for a path that gives nothing, or a file that is no data.
    """
    notes: list[str] = []
    files = resolve(paths, base, on_skip=lambda path, why: notes.append(f"{path} is passed over: {why}"))
    with TemporaryDirectory(prefix="forge-check-") as folder:
        look = _Look(Spool(Path(folder), SPOOLED), notes)
        return look.report([look.file(file) for file in files])


def _picked(file: InputFile, notes: list[str]) -> tuple[Picked, list[str], Links | None]:
    """How the records of a file are read, the names of its columns, and by what they are linked; where no
    mapping fits, the longest text of a record stands for it."""
    try:
        result = inspect([file.url])
    except InputError as fault:
        notes.append(str(fault).replace(file.url, file.path))
        columns = columns_of(sample(file).records)
        texts = [column for column in columns.values() if column.kind == "text"]
        if not texts:
            return Picked({"shape": "columns"}, {}), list(columns), None
        longest = max(texts, key=lambda column: column.mean)
        return Picked({"shape": "text", "text": longest.name}, {}), list(columns), None
    notes += [note.replace(file.url, file.path) for note in (*result.notes, *result.warnings)]
    conversion = result.picked.conversion
    made = () if conversion is None else conversion.makes
    return result.picked, [name for name in result.columns if name not in made], result.links


def _config(picked: Picked, columns: Sequence[str]) -> Config:
    """A plan that reads the rows, warns of all that is amiss and rejects nothing for it."""
    has_roles = picked.shape != "columns"
    near = Near(roles=["query", "response"]) if has_roles else None
    mapping, convert = Mapping(**picked.values), ConvertSettings(**picked.convert)
    return Config(
        data=DataConfig(mapping=mapping, convert=convert, on_corrupt="keep_prefix"),
        preprocessing=PreprocessingConfig(
            quality_checks=Checks.model_validate(WARNING),
            dedup=DedupSettings(near=near, key="rendered" if has_roles else list(columns)),
        ),
        output=OutputConfig(form="source", columns=list(columns)),
    )


@mutable
class _Found:
    """rows, and the first few of them."""

    rows: int = 0
    examples: list[Example] = field(default_factory=list)

    def add(self, places: Sequence[int], example: Callable[[int], Example]) -> None:
        self.rows += len(places)
        for row in places[: MOST_EXAMPLES - len(self.examples)]:
            self.examples.append(example(row))

    @property
    def finding(self) -> Finding:
        return Finding(self.rows, tuple(self.examples))


class _Look:
    """What is gathered over all files."""

    def __init__(self, spool: Spool, notes: list[str]) -> None:
        self._spool, self._notes = spool, notes
        self._picked: list[Picked] = []
        self._columns: dict[str, ColumnCounts] = {}
        self._unreadable: dict[Reason, _Found] = {}
        self._findings = {check: _Found() for check in REASONS if check not in FILTERS}
        self._rules: dict[str, _Found] = {}
        self._languages: Counter[str] = Counter()
        self._detector = detector() if has_detector() else None
        self._exact, self._near = Repeats(), Repeats()
        self._equal, self._similar = _Found(), _Found()
        self._rows = self._parts = 0

    def file(self, file: InputFile) -> FileReport:
        """Read a file to its end, or to where it is damaged."""
        file = self._spool.capture(file) if file.is_stream else file
        picked, names, links = _picked(file, self._notes)
        self._picked.append(picked)
        workspace = Workspace(_config(picked, names), CpuEngine, lambda event: None, names)
        for column in names:
            self._columns.setdefault(column, ColumnCounts(column))
        source = open_source(file, spool=self._spool, on_corrupt="keep_prefix", links=links)
        rows, line = 0, 1
        try:
            for range_ in source.ranges:
                for chunk in source.read(range_, CHUNK_BYTES, columns=None):
                    read = self._chunk(workspace, source, chunk, rows, line)
                    for column in names:
                        self._columns[column].add(read.source.columns[column])
                    rows, line = rows + len(read.source), line + read.lines
        finally:
            source.close()
        self._rows += rows
        losses = tuple(f"{loss.what} at byte {loss.offset}" for loss in source.losses)
        format = source.format
        return FileReport(file.path, format.kind, format.encoding, file.size, rows, losses)

    def _chunk(
        self, workspace: Workspace, source: Source, chunk: Chunk, first_row: int, first_line: int
    ) -> Rows:
        rows = workspace.reader.read(chunk, judge=True)
        self._parts += len(rows)
        has_lines = source.format.kind == "jsonl"

        def example(row: int) -> Example:
            lines = LineCounter(rows, first_line) if has_lines else None
            reason = int(rows.reason[row])
            place = rejected_record(rows, row, reason, source.file.path, first_row, lines)
            line = place.get("line")
            assert isinstance(place["row"], int) and (line is None or isinstance(line, int))
            return Example(source.file.path, place["row"], line, rows.detail(row)[:200] if reason else "")

        for reason in map(Reason, np.unique(rows.reason[rows.reason != 0]).tolist()):
            at = np.flatnonzero(rows.reason == reason).tolist()
            self._unreadable.setdefault(reason, _Found()).add(at, example)
        for check, found in self._findings.items():
            if REASONS[check] in rows.warned:
                found.add(np.flatnonzero(rows.warned[REASONS[check]]).tolist(), example)
        for check, rules in rows.rules.items():
            for rule, failing in rules.items():
                found = self._rules.setdefault(f"{check}: {rule}", _Found())
                found.add(np.flatnonzero(failing & (rows.reason == 0)).tolist(), example)
        self._count_languages(rows)
        self._repeats(workspace, rows, example)
        return rows

    def _count_languages(self, rows: Rows) -> None:
        """By the first answer of each row."""
        answer = next((spans for field, spans in rows.bound.texts.items() if field in ANSWERS), None)
        if self._detector is None or answer is None:
            return
        numbers = self._detector.of(rows.engine.text(answer))[rows.reason == 0]
        for number, count in zip(*np.unique(numbers, return_counts=True), strict=True):
            self._languages[self._detector.name(int(number))] += int(count)

    def _repeats(self, workspace: Workspace, rows: Rows, example: Callable[[int], Example]) -> None:
        live = rows.live
        hashes = workspace.engine.hash128(workspace.keys(rows, live))
        again = self._exact.seen(hashes[:, :1] ^ hashes[:, 1:])
        self._equal.add(live[again].tolist(), example)
        near = workspace.near
        if near is not None:
            once = live[~again]
            bands = workspace.engine.band_hashes(near.text.of(rows, once), near.settings.signing)
            self._similar.add(once[self._near.seen(bands)].tolist(), example)

    def report(self, files: Sequence[FileReport]) -> QualityReport:
        shapes = [
            f"{picked.shape} by {picked.convert['by']}" if picked.convert else picked.shape
            for picked in self._picked
        ]
        mapping: dict[str, str] = {}
        for picked in reversed(self._picked):
            mapping |= picked.convert.get("columns") or picked.columns
        return QualityReport(
            tuple(files),
            self._rows,
            ", ".join(dict.fromkeys(shapes)),
            mapping,
            tuple(column.report for column in self._columns.values()),
            {name(reason): result.finding for reason, result in sorted(self._unreadable.items())},
            {check: result.finding for check, result in self._findings.items() if result.rows},
            self._equal.finding,
            self._similar.finding,
            notes=tuple(dict.fromkeys(self._notes)),
            rules={rule: found.finding for rule, found in self._rules.items() if found.rows},
            languages=dict(self._languages.most_common()),
            parts=self._parts,
        )
