"""Prompts, and a model that is asked: what leaves, what is taken, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from forge_gpu.cli.transform import app
from forge_gpu.config.schema import Config
from forge_gpu.errors import ConfigError, OutputError
from forge_gpu.scripts import endpoint
from forge_gpu.scripts.endpoint import Endpoint, EndpointError
from forge_gpu.scripts.prompt import get_preprocessing_prompt, redacted
from forge_gpu.scripts.write import read_record, write
from tests.scripts.chat_server import chat

GOOD = """def transform(row):
    if row["n"] == 2:
        return None
    return {**row, "text": row["text"].strip()}
"""
ORDER = "SEEN = []\ndef transform(row):\n    SEEN.append(row['text'])\n    return {'text': SEEN[0]}\n"
QUOTES = "def transform(row):\n    raise ValueError(row['text'])\n"
ROWS = [{"n": n, "text": f" secret {n} a.b@example.com"} for n in range(5)]


def block(text: str) -> str:
    return f"Here it is.\n\n```python\n{text}```\nGood luck.\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "MAX_WAIT", 0.01)


def test_a_model_that_answers_badly_first_is_told_why_and_asked_again() -> None:
    bad = ["no code", block("import os\ndef transform(row): return row\n"), block(ORDER)]
    with chat(503, *bad, block(GOOD)) as server:
        rounds: list[list[str]] = []
        written = write(
            Endpoint(server.url, "m", "key-1"), "please", ROWS, 4, False, lambda n, f: rounds.append(list(f))
        )
    assert written.trial.script.text == GOOD and len(written.answers) == 4
    for faults, expected in zip(rounds, ("0 blocks of Python", "imports os", "another order"), strict=False):
        assert expected in faults[0]
    assert rounds[3] == [] and set(server.keys) == {"Bearer key-1"}
    assert [len(asked["messages"]) for asked in server.asked] == [1, 1, 3, 5, 7]
    assert "imports os" in server.asked[3]["messages"][-1]["content"]
    assert "secret" not in json.dumps(server.asked) and b"key-1" not in written.record()


def test_what_quotes_a_row_is_sent_only_where_rows_may_leave() -> None:
    for may_quote in (False, True):
        with chat(block(QUOTES), block(GOOD)) as server:
            write(Endpoint(server.url, "m"), "please", ROWS, 2, may_quote)
        sent = server.asked[1]["messages"][-1]["content"]
        assert "every row is rejected" in sent and ("secret 0" in sent) == may_quote
        assert server.keys == [None, None]


def test_no_script_in_so_many_rounds_is_one_line() -> None:
    with chat("never") as server, pytest.raises(EndpointError, match="no script passed in 2 rounds"):
        write(Endpoint(server.url, "m"), "please", ROWS, 2, False)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("answer", "line", "requests"),
    [
        (503, "HTTP 503, 4 times; does it run", 4),
        (401, "answered with HTTP 401", 1),
        (302, "answered with HTTP 302", 1),
        (b"{}", "is not a chat completion", 1),
        (b'{"choices": [{"message": {"content": 3}}]}', "is not a chat completion", 1),
        (b"[" * 100_000, "is not a chat completion", 1),
        (b"x" * (4 * 2**20 + 1), "more than 4,194,304 bytes", 1),
    ],
)
def test_what_is_no_answer_is_one_line(answer: object, line: str, requests: int) -> None:
    with chat(answer) as server, pytest.raises(EndpointError, match=line):
        Endpoint(server.url, "m").answer([{"role": "user", "content": "x"}])
    assert len(server.asked) == requests


def test_nobody_there_is_one_line() -> None:
    with pytest.raises(EndpointError, match="ConnectError, 4 times"):
        Endpoint("http://127.0.0.1:1/v1", "m").answer([])


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/v1",
        "ftp://127.0.0.1/v1",
        "http://10.0.0.1/v1",
        "https://me:key@example.com",
        "file:///etc/passwd",
        "http://localhost.example.com",
    ],
)
def test_only_https_or_this_machine_is_asked(url: str) -> None:
    with pytest.raises(ConfigError, match="--url"):
        Endpoint(url, "m", "hunter2")
    assert "hunter2" not in repr(Endpoint("https://example.com/v1", "m", "hunter2"))


def test_a_prompt_has_no_row_unless_some_are_asked_for() -> None:
    config = Config.model_validate(
        {
            "goal": "a helper",
            "model": {"chat_template": "chatml", "template_kind": "builtin", "max_length": 512},
        }
    )
    text = get_preprocessing_prompt(config, "greetings go", ROWS)
    for word in (
        "a helper",
        "greetings go",
        "<|im_start|>user",
        "longer than 512",
        "- text: text, in 5 of 5 rows",
        "unicodedata",
        "ValueError",
    ):
        assert word in text
    assert "secret" not in text and "$" not in text
    shown = get_preprocessing_prompt(config, "greetings go", ROWS, 2)
    assert shown.count("secret") == 2 and "example.com" not in shown and "<email>" in shown


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("write to a.b+c@mail.example.com now", "write to <email> now"),
        ("see https://example.com/?token=1", "see <url>"),
        ("sk-abcdefghijklmnop1234", "<key>"),
        ("call +49 (30) 1234-5678", "call <number>"),
        ("DE89 3704 0044 0532 0130 00", "<account>"),
        ("10.1.2.3", "<address>"),
        ({"a.b@example.com": ["x"] * 9}, {"<email>": ["x"] * 5}),
        (4930123456, "<number>"),
        ("x" * 300, "x" * 200 + "… (300 characters)"),
        (7, 7),
    ],
)
def test_what_looks_like_a_person_or_a_secret_is_replaced(value: object, expected: object) -> None:
    assert redacted(value) == expected


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORGE_LLM_KEY", "hunter2")
    return tmp_path


def run(*arguments: str, says: str = "") -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments), input=says, catch_exceptions=False)
    return result.exit_code, result.output


def test_the_command_asks_before_it_sends_rows_and_before_it_writes(folder: Path) -> None:
    with chat(block(GOOD)) as server:
        asked = ("write", "strip it", "rows.jsonl", "--url", server.url)
        code, shown = run(*asked, "--rows", "2", says="n\n")
        assert code == 130 and server.asked == [] and "<email>" in shown
        code, shown = run(*asked, says="n\n")
        assert code == 130 and not (folder / "transform.py").exists() and "dropped: 1" in shown
        code, shown = run(*asked, says="y\n")
    assert code == 0 and (folder / "transform.py").read_text() == GOOD
    record = (folder / "transform.py.record.json").read_text()
    assert "hunter2" not in record + shown and json.loads(record)["sha256"]["script"]
    assert server.keys == ["Bearer hunter2"] * 2
    with pytest.raises(OutputError, match="already exists"):
        run(*asked, "--yes")


def test_a_record_is_replayed_without_a_network(folder: Path) -> None:
    with chat("no code", block(GOOD)) as server:
        run("write", "strip it", "rows.jsonl", "--url", server.url, "--yes")
    code, _ = run(
        "write",
        "strip it",
        "rows.jsonl",
        "--replay",
        "transform.py.record.json",
        "--output",
        "again.py",
        "--yes",
    )
    assert code == 0 and (folder / "again.py").read_text() == GOOD
    assert len(read_record(folder / "again.py.record.json").answers) == 2
    (folder / "x").write_text('{"answers": [1]}')
    with pytest.raises(ConfigError, match="is not a record"):
        read_record(folder / "x")


def test_the_prompt_command_prints_it(folder: Path) -> None:
    code, shown = run("prompt", "strip it", "rows.jsonl")
    assert code == 0 and "strip it" in shown and "secret" not in shown
    assert "secret 0" in run("prompt", "strip it", "rows.jsonl", "--rows", "1")[1]
