"""Events to lines of JSON and back, and the schema that holds what lines say."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_gpu.events import SCHEMA, ChunkDone, Entry, JobStarted, Warned, from_line, read_lines, to_line
from forge_gpu.job.events.encode import KINDS, schema

DOCS = Path(__file__).parents[2] / "docs" / "events.md"
NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)

plain = st.text(st.characters(codec="utf-8", exclude_characters=":/"), max_size=20)
whole = st.integers(0, 2**53)
values: dict[str, st.SearchStrategy[Any]] = {
    "str": plain,
    "str | None": st.none() | plain,
    "int": whole,
    "int | None": st.none() | whole,
    "float": st.floats(0, 1e9),
    "float | None": st.none() | st.floats(0, 1),
    "bool": st.booleans(),
    "dict[str, int]": st.dictionaries(plain, whole, max_size=3),
    "dict[str, int] | None": st.none() | st.dictionaries(plain, whole, max_size=3),
    "dict[str, str]": st.dictionaries(plain, plain, max_size=3),
    "dict[str, Any]": st.dictionaries(plain, st.none() | plain | st.lists(whole, max_size=2), max_size=3),
}


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """Any entry there can be: JobStarted brings the digest of its own line."""
    kind = KINDS[draw(st.sampled_from(sorted(KINDS)))]
    event = kind(**{field.name: draw(values[str(field.type)]) for field in fields(kind)})
    job = event.job if isinstance(event, JobStarted) else draw(st.none() | plain)
    moment = draw(st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)))
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
    return Entry(job, draw(plain), draw(whole), moment, event)


@given(entries())
def test_a_line_reads_back_as_it_was(entry: Entry) -> None:
    line = to_line(entry)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert from_line(line) == entry


def test_the_keys_that_every_line_has() -> None:
    record = json.loads(to_line(Entry("j", "r", 3, NOW, Warned("open", "x"))))
    assert record == {
        "v": SCHEMA,
        "event": "Warned",
        "job": "j",
        "run": "r",
        "n": 3,
        "time": "2026-01-02T03:04:05.678Z",
        "stage": "open",
        "message": "x",
    }


def test_what_is_not_known_is_passed_over() -> None:
    line = to_line(Entry("j", "r", 0, NOW, Warned("open", "x")))
    later = json.loads(line) | {"v": SCHEMA + 1, "colour": [1, 2]}
    assert from_line(json.dumps(later)) == from_line(line)
    assert from_line(json.dumps(later | {"event": "Exploded"})) is None
    torn = [line[:40], line, json.dumps(later | {"event": "Exploded"}).encode(), b"\n", b"[]\n"]
    assert [entry.event for entry in read_lines(torn)] == [Warned("open", "x")]


def test_a_key_with_a_default_may_be_missing() -> None:
    """As in a line that an older version wrote."""
    record = json.loads(to_line(Entry("j", "r", 0, NOW, ChunkDone("index", 1, 2, 0.5, 3))))
    del record["fates_so_far"]
    entry = from_line(json.dumps(record))
    assert entry is not None and entry.event == ChunkDone("index", 1, 2, 0.5, 3)


@pytest.mark.parametrize(
    ("key", "value"), [("n", "3"), ("n", True), ("run", None), ("time", "now"), ("message", 1), ("event", 1)]
)
def test_a_line_that_is_none_is_refused(key: str, value: Any) -> None:
    record = json.loads(to_line(Entry("j", "r", 0, NOW, Warned("open", "x"))))
    with pytest.raises(ValueError):
        from_line(json.dumps(record | {key: value}))
    del record[key]
    with pytest.raises(ValueError):
        from_line(json.dumps(record))


def test_secrets_of_urls_and_names_that_are_no_utf8() -> None:
    reported = "s3://me:hunter2@bucket/a.jsonl?sig=hunter2 and b\udcff.jsonl"
    spec = {"inputs": [reported], "weights": {reported: 1}}
    for event in (
        Warned("open", reported),
        JobStarted("open", "j", spec, None, None, 1, 1, False, {}),
    ):
        line = to_line(Entry("j", "r", 0, NOW, event))
        assert b"hunter2" not in line and b"s3://bucket/a.jsonl and b?.jsonl" in line


def test_a_change_of_an_event_needs_a_version() -> None:
    """Fails where an event changed: raise SCHEMA, tell of it in docs/events.md, and write what the test
    shows to the file of the new version. A file of a version that was released never changes."""
    file = Path(__file__).parent / f"schema_v{SCHEMA}.json"
    assert json.loads(file.read_text()) == schema(), json.dumps(schema(), indent=2)


def documented() -> dict[str, dict[str, str]]:
    """Heading -> name in the first column of its table -> the second column."""
    tables: dict[str, dict[str, str]] = {}
    for section in re.split(r"^### ", DOCS.read_text(), flags=re.MULTILINE)[1:]:
        heading = section.partition("\n")[0].strip("` ")
        rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section.replace(r"\|", "or"), re.MULTILINE)
        tables[heading] = {name: kind.strip() for name, kind in rows}
    return tables


def words(kind: str) -> str:
    """A type as the page spells it."""
    kind = kind.replace("dict[str, int]", "object of int").replace("dict[str, str]", "object of text")
    kind = kind.replace("dict[str, Any]", "object").replace("str", "text").replace(" | None", " or null")
    return kind.replace("float", "number").replace("bool", "true or false")


def test_the_page_says_what_each_event_holds() -> None:
    known = schema()
    tables = documented()
    lines = {name: words(kind) for name, kind in known["line"].items()}
    assert tables.pop("Every line") == lines | {"stage": "text"}
    expected = {
        tag: {name: words(kind) for name, kind in keys.items() if name not in ("stage", "job")}
        for tag, keys in known["events"].items()
    }
    assert tables == expected
