"""What is kept of a tokenizer's JSON is all of it, and its plain form only lacks what text may not become."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from forge_gpu.tokens.definition import SET_ASIDE, Definition
from forge_gpu.tokens.stored import StoredJson, renamed
from tests.tokens.made import MAKERS, document

ODD = ["[", ",", '"', '\\"', ',"x":1', "}", '["a",', "\u2028", "naïve 你好", "x", "a"]


@pytest.mark.parametrize("name", MAKERS)
def test_the_whole_is_kept(name: str) -> None:
    definition = Definition.of(document(name), Path(name))
    assert json.loads(definition.text) == json.loads(document(name))


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("first", [True, False])
def test_plain_lacks_added_tokens_and_special_words(name: str, first: bool) -> None:
    definition = Definition.of(document(name), Path(name))
    whole, plain = json.loads(document(name)), json.loads(definition.plain(first))
    assert plain["added_tokens"] == [] and plain["post_processor"] is None
    vocabulary = plain["model"].pop("vocab")
    kept = whole["model"].pop("vocab")
    assert plain["model"] == whole["model"]
    aside = {word: SET_ASIDE.format(number) for word, number in definition.special_words.items()}
    if isinstance(kept, dict):
        assert vocabulary == {aside.get(word, word): number for word, number in kept.items()}
    else:
        assert vocabulary == [[aside.get(word, word), *rest] for word, *rest in kept]
    splits = json.dumps(plain["pre_tokenizer"])
    assert ('"first"' in splits) == (first and definition.begins_otherwise)


def test_some_tokenizer_has_special_words() -> None:
    named = [name for name in MAKERS if Definition.of(document(name), Path(name)).special_words]
    assert {"unigram", "wordpiece"} <= {*named} and len(named) < len(MAKERS)


@pytest.mark.parametrize("word", ODD)
def test_one_word_is_renamed_whatever_stands_beside_it(word: str) -> None:
    numbers = {each: number for number, each in enumerate(ODD)}
    part = json.dumps(numbers, ensure_ascii=False, separators=(",", ":")).encode()
    expected = {"other" if each == word else each: number for each, number in numbers.items()}
    assert json.loads(renamed(part, {word: "other"})) == expected
    pairs = [[each, -0.5] for each in ODD]
    part = json.dumps(pairs, ensure_ascii=False, separators=(",", ":")).encode()
    assert json.loads(renamed(part, {word: "other"})) == [
        ["other" if each == word else each, -0.5] for each in ODD
    ]


def test_texts_that_spell_a_mark_stay() -> None:
    """A token of the very text that takes the place of a large part."""
    mark = "\ufdd0merges\ufdd0"
    model = {"vocab": {mark: 0, '"merges":': 1}, "merges": [["a", "b"]]}
    made = {"added_tokens": [mark], "model": model, "behind": mark}
    whole = json.loads(json.dumps(made))
    assert json.loads(StoredJson.of(made, ("vocab", "merges")).text()) == whole
