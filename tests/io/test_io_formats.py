"""What a file is, by its content, and what is refused with which reason."""

from __future__ import annotations

import gzip
import io
import json
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from forge_gpu.errors import ConfigError, InputError
from forge_gpu.io.formats import detect
from tests.io.io_support import RECORDS, as_lines, put

TABLE = pa.table({"query": ["a", "b"], "n": [1, 2]})


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(TABLE, sink)
    return sink.getvalue()


def arrow(stream: bool) -> bytes:
    sink = io.BytesIO()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, TABLE.schema) as writer:
        writer.write_table(TABLE)
    return sink.getvalue()


LINES = as_lines(RECORDS)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "empty"),
        (b" \n\t\r\n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (LINES, "jsonl"),
        (b'{"a": 1}', "jsonl"),
        (b"# exported, today\n" + LINES, "jsonl"),
        (b'{"a": 1,, }\n' + LINES, "jsonl"),
        (b'{"a": "' + b"x" * 3 * 2**20 + b'"}\n', "jsonl"),
        (json.dumps(RECORDS).encode(), "json"),
        (json.dumps(RECORDS, indent=1).encode(), "json"),
        (b"[[1, 2], 3]", "json"),
        (b'  [\n  {"a": 1},\n  {"a": 2', "json"),
        (b"[1]\n[2]\n", "jsonl"),
        (b"a,b\n1,2\n", "csv"),
        (b'a;b\n1;"2\n3;4;5"\n', "csv"),
        (b"a\tb\n1,5\t2\n", "tsv"),
        (b'prompt,response\nx,"{""a"": 1}"\ny,"{""a"": 1}"\n', "csv"),
        (parquet(), "parquet"),
        (arrow(False), "arrow"),
        (arrow(True), "arrow_stream"),
    ],
)
def test_by_content(tmp_path: Path, data: bytes, kind: str) -> None:
    for name in ("f.json", "f.csv", "f"):
        assert detect(put(tmp_path, name, data)).kind == kind
    for compression, packed in (("gzip", gzip.compress(data)), ("zstd", zstandard.compress(data))):
        result = detect(put(tmp_path, "g.json", packed))
        assert (result.kind, result.compression) == (kind, compression)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        (
            "config.txt",
            json.dumps({"a": {"b": 1}, "c": [1]}, indent=2).encode(),
            "one JSON object over several",
        ),
        ("a.json", b'{\n "data": [\n {"role": 1}\n ]\n}', "jq -c"),
        ("a.txt", b"Once upon a time.\nThere was, as it were, a fox.\n", "not a data file: neither JSON"),
        ("a.bin", bytes(range(256)) * 40, "binary data"),
        ("a.zip", b"PK\x03\x04" + b"a" * 100, "zip archive"),
        ("a.pkl", pickle.dumps({"a": 1}), "Python pickle"),
        ("a.bz2", b"BZh91AY&SY", "bzip2"),
        ("a.jsonl", LINES.decode().encode("utf-16-le"), "utf-16-le"),
        ("a.jsonl", b"".join(b"\0" + bytes([c]) for c in b'{"a": 1}\n'), "utf-16-be"),
        ("a.txt", b"just words\non lines\n", "not a data file"),
    ],
)
def test_refused_with_the_reason(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as fault:
        detect(put(tmp_path, name, data))
    assert "\n" not in str(fault.value) and name in str(fault.value)


def test_the_suffix_settles_what_content_leaves_open(tmp_path: Path) -> None:
    words = b"text\nfirst line\nsecond line\n"
    assert detect(put(tmp_path, "words.csv", words)).kind == "csv"
    assert detect(put(tmp_path, "words.csv.gz", gzip.compress(words))).kind == "csv"
    assert detect(put(tmp_path, "words.txt", words), "csv").kind == "csv"
    with pytest.raises(InputError):
        detect(put(tmp_path, "words.txt", words))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-le", "cp1252", "shift_jis", "latin-1"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    text = '{"query": "abc"}\n'
    result = detect(put(tmp_path, "f", text.encode(encoding)), encoding=encoding)
    assert result.kind == "jsonl" and result.encoding != "utf-8"


def test_a_byte_order_mark_names_the_encoding(tmp_path: Path) -> None:
    for encoding in ("utf-16", "utf-32"):
        result = detect(put(tmp_path, "f", LINES.decode().encode(encoding)))
        assert (result.kind, result.encoding) == ("jsonl", encoding)
    assert detect(put(tmp_path, "f", b"\xfe\xff" + "[{}]".encode("utf-16-be"))).kind == "json"
    assert detect(put(tmp_path, "f", b"\xef\xbb\xbf" + LINES)).mark == 3


@pytest.mark.parametrize("name", ["klingon", "base64", "zlib"])
def test_an_unknown_encoding(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.encoding"):
        detect(put(tmp_path, "f", LINES), encoding=name)


@pytest.mark.parametrize(
    ("named", "data"),
    [("parquet", LINES), ("arrow", LINES), ("parquet", arrow(False)), ("jsonl", b"\x00\x01")],
)
def test_a_format_that_the_user_named(tmp_path: Path, named: str, data: bytes) -> None:
    file = put(tmp_path, "f", data)
    if named == "jsonl":  # the rows will be rejected, one by one
        assert detect(file, named).kind == "jsonl"
    else:
        with pytest.raises(InputError, match=f"is not {named}"):
            detect(file, named)


def test_delimiters(tmp_path: Path) -> None:
    def delimiter(data: bytes, **options: Any) -> str:
        return detect(put(tmp_path, "f", data), **options).dialect.delimiter

    assert delimiter(b"a,b;c\n1,2;3\n") in ",;"
    assert delimiter(b"a|b\n1|2\n") == "|"
    assert delimiter(b"a,b\n1;2;3,4\n", format="tsv") == "\t"
    assert delimiter(b'x;y\n"a,b,c";"d,e"\n"a";"d,e,f,g"\n') == ";"
