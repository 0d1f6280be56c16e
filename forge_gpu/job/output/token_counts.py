"""How many tokens the rows of a job have, and what became of them: sums for the manifest, columns of the
ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.errors import ValidationError
from forge_gpu.fates import Fate, name
from forge_gpu.job.rows.tokenizers import counts_as_another
from forge_gpu.job.state.decisions import SPLITS, Decisions
from forge_gpu.job.state.token_table import ROW

_AT_ONCE = 1 << 20
_WRITTEN = (
    "rows", "lines", "in", "tokens", "trained", "prompt", "cut", "straddling", "rows_with_control_text",
    "control_text",
)  # fmt: skip
_DROPPED = ("rows", "tokens")
REPEATED = "repeated"
_COUNTED = {
    "tokens": "tokens", "trained": "trained", "straddling": "straddling", "control_text": "control_text",
    "cut": "cut_tokens",
}  # fmt: skip
"""Sums of what is written, with the column that they are of."""

Sums = dict[str, Any]


def section(
    config: Config,
    decisions: Decisions,
    table: np.ndarray,
    files: Sequence[str],
    rows_of_file: Sequence[int],
) -> Sums:
    """What the manifest says of all rows: sums of each fate, and of each input in it. table: ROW[n].

    in = trained + prompt + cut + dropped. Of rows in a split: what is trained, what is read, what was cut
    off; of others all that they have. Where rows are repeated, the first three count each copy, and
    `repeated`, what copies have more than their rows, stands beside `in`. Raises ValidationError where that
    does not hold.
    """
    starts = np.concatenate(([0], np.cumsum(rows_of_file))).astype(np.int64)
    bounds = dict(zip(files, zip(starts.tolist(), starts[1:].tolist(), strict=False), strict=True))

    def by_source(fate: Fate) -> dict[str, Sums]:
        return {file: _sums(config, decisions, table, fate, *within) for file, within in bounds.items()}

    keys = _WRITTEN if decisions.first_copy is None else (*_WRITTEN, REPEATED)
    splits = {name(split): _whole(by_source(split), keys) for split in SPLITS}
    others = (fate for fate in Fate if fate not in SPLITS)
    dropped = {name(fate): _whole(by_source(fate), _DROPPED) for fate in others}
    whole = _added(splits.values(), keys)
    whole["dropped"] = sum(sums["tokens"] for sums in dropped.values())
    whole["in"] += whole["dropped"]
    if whole["in"] != sum(int(_all(own).sum()) for own in _blocks(config, decisions, table, 0, len(table))):
        raise ValidationError("the tokens of all rows are not those of their fates; please report this")
    gone = whole["trained"] + whole["prompt"] + whole["cut"] + whole["dropped"]
    if whole["in"] + whole.get(REPEATED, 0) != gone:
        raise ValidationError("the tokens of all rows are not what became of them; please report this")
    return {**whole, "splits": splits, "dropped_by": dropped}


def _whole(sources: Mapping[str, Sums], keys: Sequence[str]) -> Sums:
    return {**_added(sources.values(), keys), "sources": dict(sources)}


def _added(many: Iterable[Sums], keys: Sequence[str]) -> Sums:
    listed = list(many)
    return {key: sum(sums[key] for sums in listed) for key in keys}


def _sums(config: Config, decisions: Decisions, table: np.ndarray, fate: Fate, begin: int, end: int) -> Sums:
    sums = dict.fromkeys((*_WRITTEN, REPEATED) if fate in SPLITS else _DROPPED, 0)
    at = begin
    for block in _blocks(config, decisions, table, begin, end):
        rows = slice(at, at + len(block))
        at += len(block)
        chosen = np.asarray(decisions.fate[rows]) == fate
        own = block[chosen]
        sums["rows"] += len(own)
        if fate not in SPLITS:
            sums["tokens"] += int(_all(own).sum())
            continue
        lines, copies = (
            np.broadcast_to(counts, len(block))[chosen]
            for counts in (decisions.lines_of(rows), decisions.copies_of(rows))
        )
        sums["lines"] += int(lines.sum())
        sums["in"] += int(_all(own).sum())
        sums[REPEATED] += int((_all(own) * (copies - 1)).sum())
        for key, column in _COUNTED.items():
            sums[key] += int((own[column] * copies).sum(dtype=np.int64))
        sums["rows_with_control_text"] += int(np.count_nonzero(own["control_text"]))
    if fate in SPLITS:
        sums["prompt"] = sums["tokens"] - sums["trained"]
        if decisions.first_copy is None:
            del sums[REPEATED]
    return sums


def _all(own: np.ndarray) -> np.ndarray:
    """All that rows have: int64[n]."""
    every: np.ndarray = own["tokens"].astype(np.int64) + own["cut_tokens"]
    return every


def _blocks(
    config: Config, decisions: Decisions, table: np.ndarray, begin: int, end: int
) -> Iterator[np.ndarray]:
    """The items of rows, so many at once; exact duplicates have those of the rows that they repeat."""
    for at in range(begin, end, _AT_ONCE):
        rows = slice(at, min(at + _AT_ONCE, end))
        yield _items(config, decisions, table, rows)


def _items(config: Config, decisions: Decisions, table: np.ndarray, rows: slice) -> np.ndarray:
    own = np.array(table[rows], ROW)
    if counts_as_another(config):
        repeated = np.flatnonzero(np.asarray(decisions.fate[rows]) == Fate.DUPLICATE)
        own[repeated] = table[np.asarray(decisions.duplicate_of[rows])[repeated]]
    return own


def facts_of(config: Config, decisions: Decisions, table: np.ndarray) -> Mapping[str, np.ndarray]:
    """As the ledger takes them: of rows in no split all that they have, and nothing of it trained or cut."""
    facts = {field: np.zeros(len(table), np.uint32) for field in LEDGER}
    at = 0
    for own in _blocks(config, decisions, table, 0, len(table)):
        rows = slice(at, at + len(own))
        dropped = np.asarray(decisions.fate[rows]) > max(SPLITS)
        for field in LEDGER:
            facts[field][rows] = np.where(dropped, 0, own[field])
        facts["tokens"][rows] = np.where(dropped, _all(own), own["tokens"])
        at += len(own)
    return facts


LEDGER = ("tokens", "trained", "cut_tokens", "cut_messages", "control_text")
