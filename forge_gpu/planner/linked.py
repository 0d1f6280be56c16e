"""Records of a sample that name the one before them, as flat files of OpenAssistant do, and their trees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from forge_gpu.io.linked import REPLIES, Links, trees
from forge_gpu.planner.names import folded, rules
from forge_gpu.planner.sample import Sample
from forge_gpu.records.keys import turn_keys

Record = Mapping[str, Any]


def links_of(samples: Sequence[Sample]) -> Links | None:
    """The keys by which records say which they are and which is before them, where that is certain: they are
    messages, and one names another of the same file."""
    for sample in samples:
        links = _named(sample.records)
        if links is not None and _is_linked(sample.records, links):
            return links
    return None


def _named(records: Sequence[Record]) -> Links | None:
    """By the names of the keys; of records that say who speaks and what, and have no replies."""
    names = {folded(name): name for record in reversed(records) for name in record}
    is_message = all(any(key in names for key in turn_keys(what)) for what in ("who", "said"))
    if not is_message or REPLIES in names:
        return None
    id_, parent = (
        next((names[n] for n in rules()["linked"][key] if n in names), None) for key in Links._fields
    )
    return None if id_ is None or parent is None else Links(id_, parent)


def _is_linked(records: Sequence[Record], links: Links) -> bool:
    ids = {orjson.dumps(record[links.id]) for record in records if record.get(links.id) is not None}
    parents = (record.get(links.parent) for record in records)
    return any(parent is not None and orjson.dumps(parent) in ids for parent in parents)


def linked(sample: Sample, links: Links) -> Sample:
    """The trees of a sample; of a longer file, without those of which the sample has not the beginning or no
    reply."""
    is_whole = sample.exact
    unreadable = sample.amiss.total()
    result = replace(sample, records=[], lines=[], others=0, unreadable=unreadable, exact=False)
    for line in b"".join(trees(sample.lines, links)).split(b"\n")[:-1]:
        try:
            tree = orjson.loads(line)
        except orjson.JSONDecodeError:
            result.lines.append(line)
            result.unreadable += 1
            continue
        if is_whole or not isinstance(tree, dict) or (not tree.get(links.parent) and tree.get(REPLIES)):
            result.add(tree, line)
    if sample.rows is not None and sample.lines:
        result.rows = round(sample.rows * len(result.lines) / len(sample.lines))
    return replace(result, exact=is_whole)
