"""The peers' environments can be made and are pinned; words of the file written for one are characters."""

import re
from pathlib import Path

import pytest

from benchmarks.cases import CASES
from benchmarks.contenders import ROOT, Contender, Missing, Process
from benchmarks.peers.shingles import characters_as_words, shingles
from benchmarks.work import SHINGLE

ENVIRONMENTS = sorted({contender.environment for case in CASES for contender in case.cast if contender.peer})


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_has_a_target_and_its_versions_are_pinned(environment):
    makefile = Path(ROOT, "Makefile").read_text()
    assert f"\nbench-{environment}: .venvs/{environment}/.made ##" in makefile
    lines = Path(ROOT, "benchmarks", "peers", f"{environment}.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert pins and all(re.fullmatch(r"[A-Za-z0-9_.-]+==[^ *]+", pin) for pin in pins)


def test_who_has_no_environment_is_told_how_to_make_it():
    absent = Contender("absent", "tests.benchmarks.contestants", environment="nowhere")
    with pytest.raises(Missing, match="run 'make bench-nowhere'"), Process(absent, [0]):
        pass


@pytest.mark.parametrize("text", ["Ça va?\n\t“Yes”, _ 你好 🙂 ça", "No no"])
def test_five_words_of_a_spelled_text_are_five_characters(text):
    """By the rule of text-dedup, which splits a text in lower case at all but letters, digits and `_`."""
    words = re.split(r"\W", characters_as_words(text).lower())
    grams = {tuple(words[i : i + SHINGLE]) for i in range(len(words) - SHINGLE + 1)}
    assert {"".join(chr(int(word, 16)) for word in gram) for gram in grams} == shingles(text)
    assert len(grams) == len(shingles(text)) >= 1
