"""No row's fate depends on how its values are spelled; a ledger has the rows that a strict reader finds."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

import forge_gpu
from forge_gpu.config.schema import Config

SIGNS = st.characters(codec="utf-8", exclude_categories=["Cc"]) | st.sampled_from("\t\n")
TEXTS = st.text(SIGNS, min_size=1, max_size=12)
"""Without control characters: a table of text that holds little else is taken for a binary file."""
RECORDS = st.lists(
    st.fixed_dictionaries({"query": TEXTS, "response": TEXTS, "group": st.integers(-3, 3)}),
    min_size=1,
    max_size=12,
)
SETTINGS: dict[str, Any] = {
    "data": {"mapping": {"query": "query", "response": "response"}},
    "model": {"chat_template": "chatml", "template_kind": "builtin"},
    "preprocessing": {"split": {"group": "group"}, "quality_checks": {"repetition": "off"}},
    "output": {"report": False, "verify": False},
}


def prepared(folder: Path, data: bytes, **data_settings: Any) -> list[tuple[str, str | None]]:
    """(fate, reason) of each row of a file, by its ledger."""
    folder.mkdir()
    (folder / "f").write_bytes(data)
    section = {**SETTINGS["data"], "inputs": [str(folder / "f")], **data_settings}
    config = Config.model_validate({**SETTINGS, "data": section})
    forge_gpu.prepare(config, output=folder / "out", allow_empty=True)
    ledger = pq.read_table(folder / "out/ledger.parquet", columns=["row", "fate", "reason"]).to_pylist()
    ledger.sort(key=lambda row: row["row"])
    assert [row["row"] for row in ledger] == list(range(len(ledger)))
    return [(row["fate"], row["reason"]) for row in ledger]


def as_csv(records: list[dict[str, Any]], delimiter: str) -> bytes:
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
    names = ["query", "response", "group"]
    writer.writerow(names)
    writer.writerows([record[name] for name in names] for record in records)
    return sink.getvalue().encode()


def as_parquet(records: list[dict[str, Any]], group: pa.DataType) -> bytes:
    sink = io.BytesIO()
    groups = pa.array([record["group"] for record in records]).cast(group)
    texts = {name: [record[name] for record in records] for name in ("query", "response")}
    pq.write_table(pa.table({**texts, "group": groups}), sink)
    return sink.getvalue()


def spellings(records: list[dict[str, Any]]) -> dict[str, bytes]:
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    escaped = [json.dumps(record).replace('"group": ', '"group":  ') for record in records]
    as_text = [json.dumps({**record, "group": str(record["group"])}) for record in records]
    as_float = [json.dumps({**record, "group": float(record["group"])}) for record in records]
    columns = {name: [record[name] for record in records] for name in records[0]}
    return {
        "lines": "\n".join(lines).encode(),
        "escaped": "".join(line + "\r\n" for line in escaped).encode(),
        "numbers as texts": "\n".join(as_text).encode(),
        "numbers as floats": "\n".join(as_float).encode(),
        "array": json.dumps(records, indent=1).encode(),
        "under a key": json.dumps({"version": 1, "data": records}).encode(),
        "by id": json.dumps({f"r{i}": record for i, record in enumerate(records)}, indent=1).encode(),
        "columns": json.dumps(columns).encode(),
        "together": "".join(lines).encode(),
        "csv": as_csv(records, ","),
        "tsv": as_csv(records, "\t"),
        "parquet": as_parquet(records, pa.int64()),
        "parquet of floats": as_parquet(records, pa.float64()),
        "parquet of texts": as_parquet(records, pa.string()),
    }


@settings(max_examples=4, deadline=None)
@given(records=RECORDS)
def test_no_fate_depends_on_how_values_are_spelled(records: list[dict[str, Any]]) -> None:
    if len(records) < 2:
        records = records * 2  # alone, it may be columns, or a record
    with TemporaryDirectory() as folder:
        made = {name: prepared(Path(folder) / name, data) for name, data in spellings(records).items()}
    for name, fates in made.items():
        assert fates == made["lines"], name


def strict_lines(data: bytes) -> list[bool]:
    """Whether each line that is not blank is a record, by json alone."""
    found = []
    for line in data.split(b"\n"):
        text = line.strip(b" \t\r").strip(b"\0").removeprefix(b"\xef\xbb\xbf").strip(b" \t\r\0")
        if text:
            found.append(_is_record(text))
    return found


def _is_record(text: bytes) -> bool:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        value = json.loads(text.decode(), parse_constant=refuse)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict)


DAMAGE = st.sampled_from(
    [
        b"",
        b"\0",
        b"\0\0\0",
        b"\xef\xbb\xbf",
        b"\n",
        b"\n\n",
        b"{",
        b"}",
        b'"',
        b"\\",
        b"\xff",
        b",",
        b"[",
        b"\r\n",
    ]
)
CUTS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6), DAMAGE), max_size=6)


@settings(max_examples=12, deadline=None)
@given(records=RECORDS, cuts=CUTS)
def test_a_ledger_has_the_lines_that_a_strict_reader_finds(
    records: list[dict[str, Any]], cuts: list[tuple[float, int, bytes]]
) -> None:
    data = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()
    for place, size, damage in cuts:
        at = int(place * len(data))
        data = data[:at] + damage + data[at + size :]
    with TemporaryDirectory() as folder:
        fates = prepared(Path(folder) / "x", data, format="jsonl")
    expected = strict_lines(data)
    assert len(fates) == len(expected)
    unreadable = {"invalid_json", "invalid_utf8", "not_an_object", "lone_surrogate", "too_deep"}
    assert [reason not in unreadable for _, reason in fates] == expected


@settings(max_examples=6, deadline=None)
@given(rows=st.lists(st.lists(TEXTS, min_size=1, max_size=4), min_size=1, max_size=12))
def test_a_ledger_has_the_records_that_csv_finds(rows: list[list[str]]) -> None:
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(
        [["query", "response", "group"], *rows]
    )
    data = sink.getvalue().encode()
    with TemporaryDirectory() as folder:
        fates = prepared(Path(folder) / "x", data, format="csv", dialect={})
    read = list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))[1:]
    assert [reason == "wrong_field_count" for _, reason in fates] == [len(row) != 3 for row in read]
