"""Tokenizers in files of SentencePiece, tiktoken and Mistral make the ids that their own libraries make."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.trainers import environment
from tests.trainers.environment import ROOT, run

require = pytest.fixture(autouse=True)(environment.require)


def test_other_files_become_the_same_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # it makes texts as the tests do
    equal = json.loads(run(tmp_path, str(ROOT / "tests" / "trainers" / "converted.py"), str(tmp_path)))
    names = ("tokenizer.model", "tiktoken.model", "ranks in tokenizer.model", "tekken.json")
    assert equal == dict.fromkeys(names, 104)
