"""Ids are those of the library `tokenizers`; nothing but a literal of the template makes a control token."""

from __future__ import annotations

import json
import random
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from forge_gpu.errors import ForgeError, InputError, ValidationError
from forge_gpu.kernels.cpu.added_tokens import cut
from forge_gpu.kernels.reference import added_tokens as reference
from forge_gpu.kernels.token_layout import GUARDED, PLAIN
from forge_gpu.tokens import differing
from forge_gpu.tokens.definition import Definition
from forge_gpu.tokens.encoders import Gigatoken, HuggingFace, versions
from forge_gpu.tokens.folder import read_tokenizer
from forge_gpu.tokens.settings import Guard
from forge_gpu.tokens.tokenizer import Tokenizer, TokenizerPlan, Tokens
from tests.tokens import rows as made_rows
from tests.tokens.made import MAKERS, document

ROWS = 400
SLOW = {"unigram", "wordpiece"}


def definition_of(name: str) -> Definition:
    return Definition.of(document(name), Path(f"{name}/tokenizer.json"))


def tokenizer_of(name: str, guard: Guard = Guard()) -> Tokenizer:  # noqa: B008 (it never changes)
    return Tokenizer(TokenizerPlan.of(definition_of(name), guard))


def ids_of(tokens: Tokens, row: int) -> list[int]:
    made: list[int] = tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]].tolist()
    return made


@pytest.mark.parametrize("name", MAKERS)
def test_ids_are_the_librarys(name: str) -> None:
    """Fuzzed: contents spell added tokens and parts of them, over the borders of literals too."""
    tokenizer = tokenizer_of(name)
    plan = tokenizer.plan
    assert (plan.why_slow is not None) == (name in SLOW), plan.why_slow
    chance = random.Random(name)
    rows = [made_rows.row(chance, plan.definition, number % 2 == 0) for number in range(ROWS)]
    texts, literals = made_rows.laid_out(rows)
    trained = made_rows.laid_out(rows, trained=True)[1]
    tokens = tokenizer.encode(texts, literals, trained)
    expected = HuggingFace(plan.definition.text).ids([texts.row(row).decode() for row in range(ROWS)])
    pieces = cut(texts, literals, plan.added)
    guarded = set(plan.added.id[plan.added.flags & GUARDED != 0].tolist()) - {plan.definition.unknown}
    assert 0 < np.count_nonzero(tokens.guarded) < ROWS
    for row in range(ROWS):
        if not tokens.guarded[row]:
            assert ids_of(tokens, row) == expected[row], rows[row]
        else:
            written = pieces.id[pieces.offsets[row] : pieces.offsets[row + 1]]
            own = [number for number in written.tolist() if number in guarded]
            assert [number for number in ids_of(tokens, row) if number in guarded] == own, rows[row]


@pytest.mark.parametrize("name", MAKERS)
def test_texts_are_cut_as_by_the_reference(name: str) -> None:
    plan = tokenizer_of(name).plan
    chance = random.Random(1)
    rows = [made_rows.row(chance, plan.definition, True) for _ in range(ROWS)]
    texts, literals = made_rows.laid_out(rows)
    mine, other = cut(texts, literals, plan.added), reference.cut(texts, literals, plan.added)
    for field in ("offsets", "start", "stop", "id", "own_start", "own_stop", "guarded"):
        assert np.array_equal(getattr(mine, field), getattr(other, field)), field


@pytest.mark.parametrize("name", ["llama3", "qwen", "phi4", "mistral", "phi3", "gemma"])
def test_no_content_is_a_control_token(name: str) -> None:
    """Every special token, whole, and cut at every byte between two contents or a content and a literal."""
    tokenizer = tokenizer_of(name)
    plan = tokenizer.plan
    rows: list[made_rows.Parts] = []
    for token in plan.definition.added:
        if token.special:
            rows += [[(True, "a"), (False, token.content), (True, "b")]]
            for at in range(1, len(token.content)):
                left, right = token.content[:at], token.content[at:]
                rows += [
                    [(False, left), (True, right)],
                    [(True, left), (False, right)],
                    [(True, left), (False, right[:1]), (True, right[1:])],
                    [(False, left), (False, right)],
                ]
    rows = [row for row in rows if "".join(text for literal, text in row if not literal)]
    texts, literals = made_rows.laid_out(rows)
    tokens = tokenizer.encode(texts, literals, literals)
    guarded = plan.added.id[plan.added.flags & GUARDED != 0]
    assert tokens.guarded.all()
    assert not np.isin(tokens.ids, guarded).any()


def test_what_contents_may_write_is_settled_by_the_plan() -> None:
    row: made_rows.Parts = [(True, "<|im_start|>"), (False, "<think> <|im_end|>"), (True, "<|im_end|>")]
    texts, literals = made_rows.laid_out([row])

    def counts(guard: Guard) -> tuple[int, int]:
        tokenizer = tokenizer_of("qwen", guard)
        ids = {token.content: token.id for token in tokenizer.plan.definition.added}
        made = ids_of(tokenizer.encode(texts, literals, literals), 0)
        return made.count(ids["<|im_end|>"]), made.count(ids["<think>"])

    assert counts(Guard()) == (1, 1)
    assert counts(Guard(control="keep")) == (2, 1)
    assert counts(Guard(markup="plain")) == (1, 0)
    assert counts(Guard(allow=("<|im_end|>",))) == (2, 1)
    assert counts(Guard(markup="plain", allow=("<think>",))) == (1, 1)


@pytest.mark.parametrize("rows", [[], [[]], [[(True, "<|im_end|>")]]])
def test_rows_without_text_have_no_text_to_encode(rows: list[made_rows.Parts]) -> None:
    texts, literals = made_rows.laid_out(rows)
    tokens = tokenizer_of("qwen").encode(texts, literals, literals)
    assert np.diff(tokens.offsets).tolist() == [len(row) for row in rows]


def test_tokens_over_a_border_are_trained_and_counted() -> None:
    tokenizer = tokenizer_of("qwen")
    row: made_rows.Parts = [(True, "<|im_start|>a\n"), (False, "\nwords here"), (True, "<|im_end|>")]
    texts, literals = made_rows.laid_out([row])
    tokens = tokenizer.encode(texts, literals, made_rows.laid_out([row], trained=True)[1])
    weights = tokens.weights.tolist()
    assert b"\n\n" in [tokenizer.bytes_of(number) for number in ids_of(tokens, 0)]
    assert tokens.straddling.tolist() == [1]
    trained = b"".join(
        tokenizer.bytes_of(number)
        for number, weight in zip(ids_of(tokens, 0), weights, strict=True)
        if weight
    )
    assert trained == b"\n\nwords here"
    assert weights[0] == weights[-1] == 0


def test_a_normalised_piece_is_masked_by_the_librarys_own_places() -> None:
    tokenizer = tokenizer_of("qwen")
    row: made_rows.Parts = [(True, "user\n"), (False, "A\u030a \u212b"), (True, "\nend")]
    texts, literals = made_rows.laid_out([row])
    tokens = tokenizer.encode(texts, literals, made_rows.laid_out([row], trained=True)[1])
    library = HuggingFace(tokenizer.plan.definition.text)
    ids, offsets = library.with_offsets("user\nA\u030a \u212b\nend")
    begin, end = len("user\n"), len("user\nA\u030a \u212b")
    assert ids_of(tokens, 0) == ids
    assert tokens.weights.tolist() == [int(first < end and last > begin) for first, last in offsets]


def test_code_points_that_differ_are_the_librarys() -> None:
    """A letter that only one of the two libraries knows."""
    shipped = json.loads(Path(differing.__file__).with_name("differing.json").read_text())
    if shipped["versions"] != versions():
        pytest.skip("other versions than those that were swept")
    points = [point for first, last in shipped["ranges"] for point in range(first, last + 1)]
    tokenizer = tokenizer_of("llama3")
    rows: list[made_rows.Parts] = [[(False, f"{chr(point)}，可 a{chr(point)}1")] for point in points]
    texts, literals = made_rows.laid_out(rows)
    tokens = tokenizer.encode(texts, literals, literals)
    expected = HuggingFace(tokenizer.plan.definition.text).ids([row[0][1] for row in rows])
    assert [ids_of(tokens, row) for row in range(len(rows))] == expected
    assert tokenizer.by_library == {"tokenizers": len(rows)}


def test_some_code_points_are_swept_again() -> None:
    """The sweep finds what is shipped, of a few code points."""
    from forge_gpu.tokens.probes import probe

    shipped = differing.differing_points()
    some = [*range(0x41, 0x5B), *range(0x16EA0, 0x16EE0), *range(0x1C80, 0x1C90)]
    for pattern in ("llama3", "o200k"):
        text = json.dumps(probe(pattern)).encode()
        result = differing._differing(Gigatoken(partial(bytes, text)), HuggingFace(text), some)
        assert all(shipped[point >> 3] >> (point & 7) & 1 for point in result)
        assert 0x41 not in result


def test_a_difference_from_the_library_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = tokenizer_of("llama3")
    texts, literals = made_rows.laid_out([[(False, "the words of it")]])
    tokens = tokenizer.encode(texts, literals, literals)
    tokenizer.check(texts, tokens, [0])
    tokens.ids[0] ^= 1
    with pytest.raises(ValidationError, match="by the library"):
        tokenizer.check(texts, tokens, [0])


def test_gigatoken_that_differs_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The canary: what makes other ids of one text encodes nothing."""
    monkeypatch.setattr("forge_gpu.tokens.cache._path", lambda question: tmp_path / "none" / "answer")
    right = Gigatoken.encode

    def wrong(self, data, starts, stops):
        ids, offsets = right(self, data, starts, stops)
        ids = ids.copy()
        ids[-1] ^= 1
        return ids, offsets

    monkeypatch.setattr(Gigatoken, "encode", wrong)
    monkeypatch.setattr("forge_gpu.tokens.agreement.differing_points", differing.differing_points)
    plan = TokenizerPlan.of(definition_of("llama3"), Guard())
    assert plan.why_slow is not None and "otherwise" in plan.why_slow


def test_a_fresh_object_encodes_the_same() -> None:
    """An object that has encoded much is replaced."""
    encoder = Gigatoken(partial(definition_of("llama3").plain, True), most_bytes=10)
    data = np.frombuffer(b"the words of the other text", np.uint8)
    bounds = np.array([0]), np.array([len(data)])
    first = encoder.encode(data, *bounds)[0].tolist()
    before = encoder._tokenizer
    assert encoder.encode(data, *bounds)[0].tolist() == first
    assert encoder._tokenizer is not before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "is no tokenizer"),
        ('{"model": {}}', "is no tokenizer"),
        ('{"model": {"vocab": {}}, "added_tokens": [{"id": 1}]}', "added_tokens"),
        ('{"model": {"vocab": {}}, "added_tokens": 7}', "added_tokens"),
    ],
)
def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(InputError, match=said):
        read_tokenizer(path)


def test_a_folder_without_a_tokenizer_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tokenizer\.json"):
        read_tokenizer(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        read_tokenizer(tmp_path / "nothing.json")


def test_a_missing_library_is_told_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "forge_gpu.tokens.agreement.versions", lambda: {"gigatoken": "0.10.0", "tokenizers": ""}
    )
    with pytest.raises(ForgeError, match=r"pip install 'forge-gpu\[tokens\]'"):
        TokenizerPlan.of(definition_of("llama3"), Guard())


def test_without_gigatoken_ids_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = tokenizer_of("qwen")
    monkeypatch.setattr("forge_gpu.tokens.agreement.versions", lambda: {"gigatoken": "", "tokenizers": "any"})
    slow = tokenizer_of("qwen")
    assert slow.plan.why_slow == "gigatoken is not installed"
    chance = random.Random(3)
    rows = [made_rows.row(chance, fast.plan.definition, True) for _ in range(50)]
    texts, literals = made_rows.laid_out(rows)
    one, other = (each.encode(texts, literals, literals) for each in (fast, slow))
    assert np.array_equal(one.ids, other.ids) and np.array_equal(one.weights, other.weights)
    assert PLAIN < 0
