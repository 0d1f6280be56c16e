"""secrets, personal_data, gopher, c4, language: what fails each, and what only looks like it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import forge_gpu
from forge_gpu.errors import ConfigError
from forge_gpu.kernels.layout import Text
from forge_gpu.kernels.scratch import Scratch
from forge_gpu.quality import language
from forge_gpu.quality.filters import c4, gopher
from forge_gpu.quality.patterns import personal_data, secrets

A36, A20 = "a1B2" * 9, "x9Y8" * 5
SECRETS = {
    "aws_access_key": "key AKIAIOSFODNN7EXAMPLE here",
    "github_token": f"ghp_{A36}",
    "gitlab_token": f"GITLAB=glpat-{A20}",
    "hugging_face_token": f"token: hf_{A36}",
    "openai_key": f'api_key="sk-proj-{A36}"',
    "anthropic_key": f"sk-ant-api03-{A36}",
    "slack_token": "xoxb-123456789012-abcdef",
    "google_key": "AIza" + "Ab3_-" * 7,
    "stripe_key": f"sk_live_{A20}",
    "sendgrid_key": f"SG.{A20}.{A20}",
    "package_token": f"npm_{A36}",
    "private_key": "-----BEGIN RSA PRIVATE KEY-----\nMII",
    "json_web_token": f"eyJ{A20}.eyJ{A20}.{A20}",
    "password_in_url": "postgres://admin:s3cret@db.host.de/x",
}
NO_SECRETS = [
    "A task-oriented risk-averse desk-bound ask-me", "sk-short", "https://example.com/a:b@c",
    "AKIA is a prefix",
    "ghp_ tokens begin so", "hf_hub_download(repo)", "postgres://user:***@host", "redis://{user}:{password}@host",
    "-----BEGIN PUBLIC KEY-----", "eyJust a word",
]  # fmt: skip
PERSONAL = {
    "email": "write to jane.doe+x@mail.uni-bonn.de.",
    "phone_number": "call +49 228 1234567 or (415) 555-2671",
    "card_number": "4111 1111 1111 1111",
    "us_social_security_number": "SSN 123-45-6789",
    "iban": "GB29 NWBK 6016 1331 9268 19 is the account",
    "ip_address": "from 8.8.8.8:53",
}
NO_PERSONAL = [
    "user@example.com and a@test", "def f(x): @property", "1234 5678 9012 3456",
    "2024-01-01 12:30:45", "127.0.0.1",
    "192.168.0.1", "version 1.2.3.4.5", "3.141592653589793238", "123-456", "1,000,000,000",
    "GB29 NWBK 6016 1331 9268 18",
    "0000 0000 0000 0000", "999.999.999.999",
]  # fmt: skip


def as_text(rows: list[str]) -> Text:
    encoded = [row.encode() for row in rows]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    return Text(np.frombuffer(b"".join(encoded) + bytes(64), np.uint8), offsets)


@pytest.mark.parametrize(("find", "bad", "good"), [
    (secrets, SECRETS, NO_SECRETS), (personal_data, PERSONAL, NO_PERSONAL)
])  # fmt: skip
def test_kinds_and_what_only_looks_like_them(find, bad, good) -> None:
    rows = [*(f"é {text} ü" for text in bad.values()), *bad.values(), *good]
    made = find(as_text(rows), Scratch())
    assert made.keys() == bad.keys()
    for number, kind in enumerate(bad):
        hits = np.flatnonzero(made[kind]).tolist()
        assert {number, len(bad) + number} <= set(hits), kind
        assert not [rows[hit] for hit in hits if hit >= 2 * len(bad)], kind


def test_a_kind_does_not_reach_over_the_end_of_a_row() -> None:
    rows = ["ghp_" + A36[:30], A36, "jane@uni-bonn", ".de", "+49 228", " 1234567", "4111 1111 ", "1111 1111"]
    for find in (secrets, personal_data):
        assert not any(rows.any() for rows in find(as_text(rows), Scratch()).values())


PROSE = (
    "The river runs through the old town and past the mill. It was built by the monks that came to pray. "
    "Have you seen the bridge of stone with its three arches? Many people walk over it each day to reach "
    "the market, and some of them stop to look at the fish. In spring the water is high!\n"
)
FAILING = {
    "words": "The cat and the dog.",
    "word_length": "a b c the of I " * 20,
    "symbols": "# " * 20 + PROSE,
    "bullets": "\n".join(f"- {line}" for line in PROSE.split(". ")),
    "ellipses": "\n".join(f"{line}..." for line in PROSE.split(". ")),
    "letters": "the of " + "12 34 567 89 " * 20,
    "stop_words": "Wer geht denn heute noch zum Markt " * 10,
    "repeated_lines": "The same line of words.\n" * 12,
    "repeated_paragraphs": "The same words.\nAnd more of them.\n\n" * 12,
    "frequent_words": PROSE + "so on " * 40,
    "repeated_words": PROSE + PROSE,
}


@pytest.mark.parametrize("rule", FAILING)
def test_gopher(rule: str) -> None:
    made = gopher(as_text([PROSE, FAILING[rule]]), Scratch())
    assert made[rule].tolist() == [False, True]
    assert not any(rows[0] for rows in made.values())


def test_c4() -> None:
    bad = {"sentences": "Yes. It is so.", "braces": PROSE + "{", "lorem_ipsum": PROSE + "Lorem ipsum dolor"}
    made = c4(as_text([PROSE, *bad.values()]), Scratch())
    assert {rule: np.flatnonzero(rows).tolist() for rule, rows in made.items()} == {
        "sentences": [1], "braces": [2], "lorem_ipsum": [3]
    }  # fmt: skip
    dropped = "We use cookies on this page, as all do. "
    assert c4(as_text([dropped + PROSE.replace("\n", " "), dropped + "\n" + PROSE]), Scratch())[
        "sentences"
    ].tolist() == [True, False]


def put(folder: Path, answers: list[str]) -> Path:
    path = folder / "f.jsonl"
    rows = ({"instruction": f"Say {i}, please.", "output": answer} for i, answer in enumerate(answers))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_job_rejects_by_them_and_check_counts_them_by_kind(tmp_path: Path) -> None:
    german = "Der Fluss fließt durch die alte Stadt und an der Mühle vorbei, die schon lange hier steht."
    file = put(tmp_path, [PROSE, f"{PROSE} ghp_{A36}", f"{PROSE} jane@uni-bonn.de", german, "No {"])
    plan = forge_gpu.plan(data=file, template="chatml")
    reject = [f"preprocessing.quality_checks.{name}=reject" for name in ("secrets", "personal_data", "c4")]
    result = forge_gpu.prepare(plan.config, output=tmp_path / "out", settings=reject)
    lines = [json.loads(line) for line in (tmp_path / "out/rejected.jsonl").read_text().splitlines()]
    assert [line["reason"] for line in lines] == ["secrets", "personal_data", "c4", "c4"]
    assert result.counts["rejected"] == 4
    report = forge_gpu.check([str(file)])
    assert report.rules["secrets: github_token"].rows == 1 and report.rules["personal_data: email"].rows == 1
    assert report.rules["c4: braces"].rows == 1 and report.findings["secrets"].rows == 1
    assert "gopher" not in report.findings and A36 not in json.dumps(report.to_dict())
    if language.has_detector():
        assert report.languages["de"] == 1 and report.languages["en"] >= 3


def test_the_check_language(tmp_path: Path) -> None:
    pytest.importorskip("py3langid")
    german = "Der Fluss fließt durch die alte Stadt und an der Mühle vorbei, die schon lange hier steht."
    file = put(tmp_path, [PROSE, german, "42"])
    plan = forge_gpu.plan(data=file, template="chatml")
    key = "preprocessing.quality_checks.language"
    with pytest.raises(ConfigError, match="as \\[en, de\\]"):
        forge_gpu.prepare(plan.config, output=tmp_path / "a", settings=[f"{key}=reject"])
    with pytest.raises(ConfigError, match="no language is known as 'klingon'"):
        forge_gpu.prepare(plan.config, output=tmp_path / "b", settings=[f"{key}=reject", f"{key}s=[klingon]"])
    forge_gpu.prepare(plan.config, output=tmp_path / "c", settings=[f"{key}=reject", f"{key}s=[en]"])
    lines = [json.loads(line) for line in (tmp_path / "c/rejected.jsonl").read_text().splitlines()]
    assert [(line["reason"], line["line"]) for line in lines] == [("language", 2)]


def test_without_the_extra_the_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "py3langid.langid", None)
    language.detector.cache_clear()
    with pytest.raises(ConfigError, match=r"pip install 'forge-gpu\[language\]'"):
        language.detector()
    language.detector.cache_clear()
