"""Other packs of rows that are encoded: the files that `prepare` would write with that plan."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from forge_gpu._version import __version__
from forge_gpu.config import keys
from forge_gpu.config.rules import broken
from forge_gpu.config.schema import Config, OutputConfig
from forge_gpu.derive.rows import Ledger, SplitRows
from forge_gpu.errors import ConfigError, InputError, OutputError
from forge_gpu.fates import Fate, name
from forge_gpu.io.atomic import make_folder, replacing, write_atomic
from forge_gpu.io.disk import faults_of
from forge_gpu.io.lock import FolderLock
from forge_gpu.io.sinks import base as sinks
from forge_gpu.io.sinks.base import Sink
from forge_gpu.io.sinks.registry import OF_TOKENS, format_of
from forge_gpu.io.sinks.token_columns import ATTENTION, IDS, LABELS, LENGTHS
from forge_gpu.io.to_arrow import texts_to_arrow
from forge_gpu.job.facts.columns import coded, numbers
from forge_gpu.job.finish import remove_stale
from forge_gpu.job.output.ledger import ROWS_AT_ONCE, ledger_writer, open_ledger, schema_of
from forge_gpu.job.output.result import LEDGER, MANIFEST, OutputFile, Result
from forge_gpu.job.output.verify import verify
from forge_gpu.job.rows.tokenizers import pack_length
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.kernels.cpu.token_rows import as_json
from forge_gpu.kernels.layout import I64
from forge_gpu.loading.mixture import is_mixture
from forge_gpu.loading.opened import require_tokens
from forge_gpu.packs.places import PACKERS, Packs, groups_of, padded, section, sums
from forge_gpu.packs.sink import ByRows, ByTokens, Cut, PackingSink, Padding, lines_of
from forge_gpu.plain import frozen
from forge_gpu.share.prepared import Prepared, open_prepared, reading, require_sound
from forge_gpu.templates.forms import form_of

TOKENS_AT_ONCE = 2**20
"""Of rows that become lines together."""
EXACT = ("train", "validation", "test")


@frozen
class Repacked:
    """warnings: what differs from a preparation with that plan, a line each."""

    result: Result
    warnings: tuple[str, ...]


def repack(
    folder: str | Path,
    output: str | Path,
    *,
    length: int | None = None,
    packing: str | None = None,
    within: str | None = None,
) -> Repacked:
    """Pack the rows of a prepared folder of tokens anew, into another folder, without encoding them.

    folder: the prepared one. output: the folder to write, which must not hold one. length: tokens of a pack.
    packing: bfd, wrapped or none. within: split, file or length. What is None stays
    as the folder has it; a folder without packs gets bfd. The files are those that `prepare` writes with
    such a plan. Raises ForgeError.
    """
    began = time.time()
    if is_mixture(folder):
        raise InputError(f"{folder}: is a mixture: repack the folders that it is of, and mix the packs")
    prepared, target = open_prepared(folder), Path(output)
    config = _plan(prepared, length, packing, within)
    if target.resolve() == prepared.folder.resolve() or (target / MANIFEST).exists():
        raise OutputError(f"{target}: holds a prepared folder already; name another folder for the packs")
    make_folder(target)
    with FolderLock(target, wait=0), faults_of(target):
        splits = _splits(prepared, config)
        files = _write(prepared, config, target, splits)
        _write_ledger(prepared, config, target, splits)
        spec = JobSpec(config, target.parent, target)
        files, verified = verify(spec, files, 1, lambda event: None, lambda: None)
        document = _manifest(prepared, config, files, verified, splits, began)
        write_atomic(target / MANIFEST, orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
        remove_stale(target, document)
    return Repacked(Result.of(target, document), tuple(_warnings(prepared, config)))


@frozen
class _Split:
    """A split with its new packs; None where there are to be none."""

    rows: SplitRows
    packs: Packs | None

    @property
    def order(self) -> I64:
        return np.arange(len(self.rows.rows)) if self.packs is None else np.argsort(self.packs.ranks)

    @property
    def lines(self) -> int:
        return len(self.rows.rows) if self.packs is None else self.packs.count

    def places(self) -> tuple[I64, I64]:
        """Of each row, in its order without packs: (its line; its place there)."""
        if self.packs is None:
            return np.arange(len(self.rows.rows)), np.zeros(len(self.rows.rows), np.int64)
        places = self.packs.places.astype(np.int64)
        return places[:, 0], places[:, 1]


def _plan(prepared: Prepared, length: int | None, packing: str | None, within: str | None) -> Config:
    """The plan of the new packs. Raises ForgeError where there is none."""
    require_tokens(prepared)
    before = prepared.config.output
    chosen = packing or (before.packing if before.packing != "none" else "bfd")
    changes = {"packing": chosen, "pack_length": length or before.pack_length}
    changes["pack_within"] = within or before.pack_within
    try:
        output = OutputConfig.model_validate(before.model_dump() | changes)
    except ValueError as fault:
        raise ConfigError(f"these packs cannot be: {str(fault).splitlines()[2].strip()}") from None
    config = prepared.config.model_copy(update={"output": output})
    for rule, amiss in broken(config, ()):
        raise ConfigError(f"{rule.name}: {amiss}")
    if config.tokens.cut == "split":
        raise InputError(f"{prepared.folder}: its rows are split into lines: prepare it again to pack them")
    if config.data.repeats is not None:
        raise InputError(f"{prepared.folder}: its rows are repeated: prepare it again to pack them otherwise")
    if before.packing == "bfd" and before.order == "shuffled":
        raise InputError(
            f"{prepared.folder}: its packs were made of shuffled rows, whose order they do not tell: repack "
            "the folder without packs, or prepare it again"
        )
    return config


def _splits(prepared: Prepared, config: Config) -> dict[str, _Split]:
    ledger = Ledger(prepared)
    return {split: _packed(prepared, config, ledger.split(split)) for split in prepared.splits}


def _packed(prepared: Prepared, config: Config, rows: SplitRows) -> _Split:
    output = config.output
    if output.packing == "none":
        return _Split(rows, None)
    most, longest = pack_length(config), int(rows.tokens.max(initial=0))
    room = most // output.pad_rows_to * output.pad_rows_to
    if output.packing == "bfd" and longest > room:
        count = int(np.count_nonzero(rows.tokens > room))
        raise InputError(
            f"{prepared.folder}: {count:,} rows have more than {room:,} tokens, the longest {longest:,}: "
            "name that length, pack them wrapped, or prepare the folder again, which rejects them"
        )
    lengths = rows.tokens.astype(np.uint32)
    groups = groups_of(output.pack_within, lengths, rows.file)
    return _Split(rows, PACKERS[output.packing](padded(lengths, output.pad_rows_to), most, groups))


def _write(prepared: Prepared, config: Config, target: Path, splits: dict[str, _Split]) -> list[OutputFile]:
    files = []
    format, columns = format_of(config.output.format), _columns(config)
    for split, packed in splits.items():
        of_split = sinks.SplitRows(split, packed.lines, config.output.rows_per_shard, columns)
        sink = format.open(target, of_split, {})
        with closing(_packing(sink, config, packed, columns)) as writer:
            for chosen in _blocks(packed):
                writer.append(lines_of(_lists(packed.rows, chosen, list(columns)), len(chosen)))
            for written in writer.finish():
                size = written.path.stat().st_size
                files.append(
                    OutputFile(written.path.relative_to(target).as_posix(), split, written.rows, size, None)
                )
    for other in prepared.outputs:
        if other.split == name(Fate.REJECTED):
            require_sound(prepared.folder, [other])
            with replacing(target / other.file) as partial:
                shutil.copyfile(prepared.folder / other.file, partial)
            files.append(other)
    return files


def _columns(config: Config) -> dict[str, str]:
    return {field.name: field.type for field in form_of(config).fields(config)}


def _packing(sink: Sink, config: Config, packed: _Split, columns: dict[str, str]) -> Sink:
    if packed.packs is None:
        return sink
    cut: Cut
    if config.output.packing == "wrapped":
        cut = ByTokens(pack_length(config))
    else:
        cut = ByRows(np.bincount(packed.packs.places[:, 0], minlength=packed.packs.count).astype(np.uint32))
    return PackingSink(sink, columns, cut, Padding.of(config.output))


def _blocks(packed: _Split) -> Iterator[I64]:
    """Rows in the order of their packs, so many at once."""
    order = packed.order
    block = np.cumsum(packed.rows.tokens[order]) // TOKENS_AT_ONCE
    for begin, end in zip(*_runs(block), strict=True):
        yield order[begin:end]


def _runs(values: I64) -> tuple[list[int], list[int]]:
    edges = np.flatnonzero(np.diff(values)) + 1
    return [0, *edges.tolist()], [*edges.tolist(), len(values)]


def _lists(rows: SplitRows, chosen: I64, columns: list[str]) -> list[tuple[bytes, Any]]:
    """The lists of some rows, a column each, as JSON."""
    tokens = rows.tokens[chosen]
    at = np.concatenate(([0], np.cumsum(tokens)))
    ids, mapped = rows.column(rows.mapped.ids, chosen), rows.mapped
    values: dict[str, Callable[[], tuple[np.ndarray, I64]]] = {
        IDS: lambda: (ids, at),
        LABELS: lambda: (ids if mapped.labels is None else rows.column(mapped.labels, chosen), at),
        LENGTHS: lambda: (tokens.astype(np.int32), np.arange(len(chosen) + 1)),
        ATTENTION: lambda: (np.ones(len(ids), np.int32), at),
    }
    return [(orjson.dumps(column), as_json(*values[column]())) for column in columns]


def _write_ledger(prepared: Prepared, config: Config, target: Path, splits: dict[str, _Split]) -> None:
    """The ledger, with the new place of each row of a split."""
    schema, output = schema_of(config), config.output
    with reading(prepared.ledger), open_ledger(prepared.ledger) as old:
        count = old.metadata.num_rows
        shard, line, place = np.full((3, count), -1, np.int64)
        shards: list[str] = []
        for split in EXACT:
            packed = splits.get(split)
            lines = 0 if packed is None else packed.lines
            first = len(shards)
            names = format_of(output.format).names(split, lines, output.rows_per_shard)
            shards += [files[0] for files in names]
            if packed is not None:
                at, places = packed.places()
                per = output.rows_per_shard or max(lines, 1)
                shard[packed.rows.rows], line[packed.rows.rows] = first + at // per, at % per + 1
                place[packed.rows.rows] = places
        words = texts_to_arrow(shards)
        with ledger_writer(target / LEDGER, schema) as writer:
            begin = 0
            for batch in _batches(old, prepared.ledger):
                rows = slice(begin, begin + len(batch))
                absent = shard[rows] < 0
                new = {
                    "shard": coded(np.maximum(shard[rows], 0), words, absent),
                    "line": numbers(line[rows], absent),
                    "place": numbers(place[rows], absent),
                }
                arrays = [new[name] if name in new else batch[name] for name in schema.names]
                writer.write_batch(pa.record_batch(arrays, schema=schema))
                begin += len(batch)


def _batches(ledger: pq.ParquetFile, path: Path) -> Iterator[pa.RecordBatch]:
    """All rows. What fails of reading them is told here: around it a file is written."""
    with reading(path):
        yield from ledger.iter_batches(ROWS_AT_ONCE)


def _manifest(
    prepared: Prepared,
    config: Config,
    files: Sequence[OutputFile],
    verified: dict[str, Any],
    splits: dict[str, _Split],
    began: float,
) -> dict[str, Any]:
    before = prepared.manifest
    document = {key: value for key, value in before.items() if key not in ("packs", "run")}
    document["outputs"] = [asdict(file) for file in files]
    document["columns"] = _columns(config)
    document["config"] = before["config"] | {"output": keys.effective(config)["output"]}
    document["verified"] = (before["verified"] or {}) | verified
    if config.output.packing != "none":
        no_lengths, most = np.zeros(0, np.uint32), pack_length(config)
        nothing = PACKERS[config.output.packing](no_lengths, most, None)
        packs = {
            split: (packed.rows.tokens.astype(np.uint32), packed.packs or nothing)
            for split, packed in splits.items()
        }
        every = {split: packs.get(split, (no_lengths, nothing)) for split in EXACT}
        of_splits = {split: sums(config.output, most, *packed) for split, packed in every.items()}
        document["packs"] = section(config.output, most, of_splits)
    run = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
        "seconds": round(time.time() - began, 6),
        "repacked": {"folder": str(prepared.folder), "forge": before["forge"]},
    }
    return document | {"forge": __version__, "run": before["run"] | run}


def _warnings(prepared: Prepared, config: Config) -> Iterator[str]:
    before = prepared.config
    too_long = prepared.manifest["rejected"].get("too_long", 0)
    if before.output.packing == "bfd" and too_long and pack_length(config) > pack_length(before):
        yield (
            f"{too_long:,} rows were rejected as too long for packs of {pack_length(before):,} tokens, and "
            "stay so: prepare the folder again to have them"
        )
    holds = OF_TOKENS.get(before.output.format)
    if holds and not holds.firsts and "wrapped" in (before.output.packing, config.output.packing):
        line = "a pack" if before.output.packing == "wrapped" else "a row"
        yield (
            f"{before.output.format} does not say whether the first token of {line} is trained, and wrapped "
            "packs are cut elsewhere: it is written as not trained; prepare the folder again to have it right"
        )
