"""Events as lines of JSON, and back: the one place that knows both.

A line is `{"v":1,"event":"ChunkDone","job":…,"run":…,"n":…,"time":…,"stage":…, …}`. Who reads passes over
keys and events that it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, fields
from datetime import datetime
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import orjson

from forge_gpu.io.secrets import public_values
from forge_gpu.job.events import events
from forge_gpu.job.events.events import SCHEMA, Event
from forge_gpu.plain import frozen


@frozen
class Entry:
    """An event as it is in a stream. job: digest of the job's key, None until it is known. run: of one call
    of `prepare` or `stream`. n: its number in this stream, from 0 without a gap. time: UTC, to the ms."""

    job: str | None
    run: str
    n: int
    time: datetime
    event: Event


EntryListener = Callable[[Entry], None]

KINDS: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in vars(events).values()
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
}
"""Tag -> its dataclass."""


def to_line(entry: Entry) -> bytes:
    """One whole line, its newline included."""
    event = entry.event
    record = {
        "v": SCHEMA,
        "event": type(event).__name__,
        "job": entry.job,
        "run": entry.run,
        "n": entry.n,
        "time": entry.time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    return orjson.dumps({**record, **public_values(values_of(event))}) + b"\n"


def values_of(event: Event) -> dict[str, Any]:
    """Its fields, by their names."""
    return {name: getattr(event, name) for name in _names(type(event).__name__)}


def from_line(line: bytes | str) -> Entry | None:
    """The entry of a line; None for an event that this version does not know.

    Raises ValueError where the line is none: torn, or of something else.
    """
    record = orjson.loads(line)
    if not isinstance(record, dict):
        raise ValueError(f"an event is a JSON object, not {type(record).__name__}")
    tag = _take(record, "event", str)
    kind = KINDS.get(tag)
    if kind is None:
        return None
    hints = _hints(tag)
    own = {
        field.name: _take(record, field.name, hints[field.name])
        for field in fields(kind)
        if field.name in record or field.default is MISSING
    }
    return Entry(
        _take(record, "job", str | None),
        _take(record, "run", str),
        _take(record, "n", int),
        datetime.fromisoformat(_take(record, "time", str)),
        kind(**own),
    )


def read_lines(lines: Iterable[bytes | str]) -> Iterator[Entry]:
    """The entries of a stream; lines that a killed run has torn, and events not known, are passed over."""
    for line in lines:
        try:
            entry = from_line(line)
        except ValueError:
            continue
        if entry is not None:
            yield entry


def schema() -> dict[str, Any]:
    """What a line may hold: the keys of every line, and those of each event, with their types."""
    return {
        "v": SCHEMA,
        "line": {"v": "int", "event": "str", "job": "str | None", "run": "str", "n": "int", "time": "str"},
        "events": {
            tag: {field.name: str(field.type) for field in fields(kind)} for tag, kind in KINDS.items()
        },
    }


@cache
def _names(tag: str) -> tuple[str, ...]:
    return tuple(field.name for field in fields(KINDS[tag]))


@cache
def _hints(tag: str) -> dict[str, Any]:
    """The types of an event's fields."""
    return get_type_hints(KINDS[tag])


def _take(record: dict[str, Any], key: str, annotation: Any) -> Any:
    if key not in record:
        raise ValueError(f"an event without {key!r}")
    if not _fits(record[key], annotation):
        raise ValueError(f"an event whose {key!r} is {type(record[key]).__name__}")
    return record[key]


def _fits(value: Any, annotation: Any) -> bool:
    if annotation is Any:
        return True
    if isinstance(annotation, UnionType):
        return any(_fits(value, member) for member in get_args(annotation))
    if get_origin(annotation) is dict:
        of = get_args(annotation)[1]
        return isinstance(value, dict) and all(_fits(item, of) for item in value.values())
    if annotation in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, (int, float) if annotation is float else annotation)
