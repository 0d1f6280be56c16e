"""kernels.cpu.shingles, minhash and union against their references."""

from __future__ import annotations

import os
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.kernels.cpu import minhash, shingles, union
from forge_gpu.kernels.reference import minhash as minhash_reference
from forge_gpu.kernels.reference import shingles as reference
from forge_gpu.kernels.reference import union as union_reference

FOLDS = {
    (case, white_space, punctuation): reference.fold_table(bool(case), bool(white_space), bool(punctuation))
    for case, white_space, punctuation in [(0, 0, 0), (1, 1, 0), (1, 1, 1), (0, 0, 1)]
}
MULTIPLIERS = minhash_reference.multipliers(150, 5)  # more than one group of lanes, and not a whole number
TEXTS = st.lists(
    st.binary(max_size=150)
    | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.text(alphabet="ab C\n,.\u00a0ß", max_size=200).map(str.encode),
    max_size=5,
)
KINDS = st.sampled_from([reference.CHARACTERS, reference.WORDS])
SIZES = st.sampled_from([1, 2, 5, 9, reference.MAX_UNITS])


def column(texts: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *(len(text) for text in texts)]).astype(np.int64)
    return np.frombuffer(b"".join(texts), np.uint8), offsets


def assert_equal_to_the_reference(texts: list[bytes], kind: int, n: int, fold: np.ndarray) -> None:
    data, offsets = column(texts)
    arguments = (data, offsets, kind, n, fold)
    assert np.array_equal(
        minhash.signatures(*arguments, MULTIPLIERS), minhash_reference.signatures(*arguments, MULTIPLIERS)
    )
    assert np.array_equal(
        minhash.band_hashes(*arguments, MULTIPLIERS, 11, 6),
        minhash_reference.band_hashes(*arguments, MULTIPLIERS, 11, 6),
    )
    values, ends = shingles.distinct(*arguments)
    expected, expected_ends = reference.distinct(*arguments)
    assert np.array_equal(values, expected) and np.array_equal(ends, expected_ends)
    rows = np.arange(len(texts), dtype=np.int64)[::-2]
    some, some_ends = shingles.distinct(*arguments, rows)
    expected, expected_ends = reference.distinct(*arguments, rows)
    assert np.array_equal(some, expected) and np.array_equal(some_ends, expected_ends)
    pairs = np.array([(a, b) for a in range(len(texts)) for b in range(len(texts))], np.int64).reshape(-1, 2)
    shared = shingles.intersections(values, ends, values, ends, pairs)
    assert np.array_equal(shared, reference.intersections(values, ends, values, ends, pairs))
    index = reference.lookup(values[::2], np.repeat(np.arange(len(texts)), np.diff(ends))[::2])
    result = shingles.first_found(*arguments, index)
    assert np.array_equal(result, reference.first_found(*arguments, index))


@settings(deadline=None, max_examples=60)
@given(TEXTS, KINDS, SIZES, st.sampled_from(sorted(FOLDS)))
def test_equal_to_the_reference(texts, kind, n, fold):
    assert_equal_to_the_reference(texts, kind, n, FOLDS[fold])


@pytest.mark.parametrize("kind", [reference.CHARACTERS, reference.WORDS])
@pytest.mark.parametrize("fold", [(0, 0, 0), (1, 1, 1)])
def test_equal_at_the_edges_of_tiles_and_blocks(kind, fold):
    unit = "a bc, " if kind == reference.WORDS else "abcdeé"
    texts = [
        (unit * 400)[:length].encode() for length in (63, 64, 65, 1023, 1024, 1027, 1028, 1029, 1090, 2100)
    ]
    texts += [("a" + " " * count + "b" * 3000).encode() for count in range(5)]  # a tile lacks a few points
    texts += [("b" * count + " " + "c" * 3000).encode() for count in range(1020, 1026)]  # a blank ends it
    texts += [("x" * 1500 + " yy" + " " * 2000 + "z. W").encode(), b"\xf0", "𝄞".encode()[:3], b" ", b""]
    assert_equal_to_the_reference(texts, kind, 5, FOLDS[fold])


def test_a_slice_of_a_larger_buffer():
    data = np.frombuffer(b"????hello worldhello there!!!!", np.uint8)
    offsets = np.array([4, 15, 26], np.int64)
    own, own_offsets = column([b"hello world", b"hello there"])
    arguments = (reference.CHARACTERS, 5, FOLDS[1, 1, 0])
    sliced = minhash.signatures(data, offsets, *arguments, MULTIPLIERS)
    assert np.array_equal(sliced, minhash.signatures(own, own_offsets, *arguments, MULTIPLIERS))
    values, ends = shingles.distinct(data, offsets, *arguments)
    expected, expected_ends = shingles.distinct(own, own_offsets, *arguments)
    assert np.array_equal(values, expected) and np.array_equal(ends, expected_ends)


def test_shingles_of_valid_text_are_its_code_points_and_words():
    text = "Ünï 𝄞\u2003Straße,  日本語\n"
    points = reference.normalised(text.encode(), FOLDS[0, 0, 0])
    assert "".join(map(chr, points)) == text
    folded = "".join(map(chr, reference.normalised(text.encode(), FOLDS[1, 1, 1])))
    assert folded == "ünï straße 日本語"  # 𝄞 is a symbol
    assert len(set(reference.words([ord(point) for point in "a bb  a "]))) == 2
    assert len(reference.shingles(text.encode(), reference.CHARACTERS, 5, FOLDS[0, 0, 0])) == len(text) - 4
    assert len(reference.shingles(b"a bc d", reference.WORDS, 2, FOLDS[1, 1, 0])) == 2


def test_a_fold_table_covers_all_that_it_would_change():
    for point in range(reference.FOLDED, sys.maxunicode + 1):
        character = chr(point)
        assert not character.isspace() and unicodedata.category(character)[0] not in "PS"
        assert character.casefold() == character == character.lower()


def test_short_texts_are_told_from_their_extensions():
    hashed = [
        reference.shingles(text, 0, 5, FOLDS[0, 0, 0]) for text in (b"ab", b"ab\0", b"\0ab", b"ab\0\0\0")
    ]
    assert len({result[0] for result in hashed}) == len(hashed)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_intersections_of_sets_in_other_orders_equal_the_reference(data):
    """Parts of one sequence, some elsewhere in the other set, some longer than the search for them."""
    sets = []
    for _ in range(2):
        parts = data.draw(st.lists(st.integers(0, 12), max_size=8, unique=True))
        lengths = [data.draw(st.sampled_from([1, 3, 20, 50])) for _ in parts]
        sets.append(
            [100 * part + k for part, length in zip(parts, lengths, strict=True) for k in range(length)]
        )
    values, ends = np.array(sets[0] + sets[1], np.uint64), np.cumsum([0, *map(len, sets)])
    pairs = np.array([[0, 1], [1, 0], [1, 0], [1, 1], [0, 0], [0, 1], [0, 1]])
    shared = shingles.intersections(values, ends, values, ends, pairs)
    assert np.array_equal(shared, reference.intersections(values, ends, values, ends, pairs))


def test_four_permutations_of_a_multiplier_are_permutations():
    assert len(minhash_reference.multipliers(128, 1)) == 32 == len(minhash_reference.multipliers(125, 1))
    data, offsets = column([b"abcde", b"abcdx", b"abcdeabcdx"])
    arguments = (data, offsets, reference.CHARACTERS, 5, FOLDS[0, 0, 0])
    one, other, _ = minhash.signatures(*arguments, MULTIPLIERS)
    assert (one != other).all()  # of one shingle each: no permutation makes two of them equal
    product, *rest = one.reshape(4, -1)
    for mask, values in zip(minhash_reference.MASKS[1:], rest, strict=True):
        assert np.array_equal(values, product ^ np.uint32(mask))


def test_estimate_of_similarity_is_unbiased():
    random = np.random.default_rng(1)
    base = random.integers(97, 123, 1500, np.uint8).tobytes()
    texts = [base[start : start + 1000] for start in range(0, 500, 50)]
    data, offsets = column(texts)
    arguments = (data, offsets, reference.CHARACTERS, 5, FOLDS[0, 0, 0])
    result = minhash.signatures(*arguments, minhash_reference.multipliers(4096, 9))
    values, ends = shingles.distinct(*arguments)
    for other in range(1, len(texts)):
        shared = int(shingles.intersections(values, ends, values, ends, np.array([[0, other]]))[0])
        jaccard = shared / (ends[1] + ends[other + 1] - ends[other] - shared)
        estimate = np.mean(result[0] == result[other])
        assert estimate == pytest.approx(jaccard, abs=4 * (jaccard * (1 - jaccard) / 4096) ** 0.5)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.integers(0, 12), max_size=60),
    st.sampled_from([1, 2**50, 2**60]),
    st.booleans(),
    st.integers(0, 100),
)
def test_bucket_pairs_equal_the_reference(values, spread, gaps, most):
    hashes = np.array(values, np.uint64) * np.uint64(spread)
    rows = np.arange(len(values), dtype=np.uint32) * np.uint32(3 if gaps else 1)
    before = hashes.copy()
    pieces = list(union.bucket_pairs(hashes, rows, most))
    assert all(0 < len(piece) <= most + union_reference.SMALL_BUCKET for piece in pieces)
    result = np.concatenate([np.zeros(0, np.uint64), *pieces])
    assert sorted(result.tolist()) == sorted(union_reference.bucket_pairs(hashes, rows).tolist())
    assert np.array_equal(hashes, before)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(st.integers(0, 2**64 - 1) | st.integers(0, 4), st.integers(0, 2)), max_size=40),
    st.integers(0, 9),
    st.data(),
)
def test_marks_equal_the_reference_and_leave_out_no_row_that_meets_another(rows, again, data):
    values = [value for value, _ in rows]
    hashes = np.array(values + values[:again], np.uint64)
    live = np.array([alive for _, alive in rows] + [1] * (len(hashes) - len(rows)), np.uint8)
    cut = data.draw(st.integers(0, len(hashes)))
    results = []
    for kernels in (union, union_reference):
        marks = np.zeros((4, 2), np.uint64)
        came = [kernels.mark(hashes[a:b], live[a:b], marks) for a, b in ((0, cut), (cut, None))]
        taken = [kernels.gather(hashes[a:b], live[a:b], a, marks) for a, b in ((0, cut), (cut, None))]
        results.append((came, marks.tolist(), [(h.tolist(), r.tolist()) for h, r in taken]))
    assert results[0] == results[1]
    given_rows = {row for _, numbers in results[0][2] for row in numbers}
    alive = np.flatnonzero(live).tolist()
    assert given_rows <= set(alive)
    assert {i for i in alive if sum(hashes[i] == hashes[k] for k in alive) > 1} <= given_rows


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 5) | st.integers(0, 2**64 - 1), max_size=30))
def test_repeats_are_dropped_in_place(values):
    results = [np.sort(np.array(values, np.uint64)) for _ in range(2)]
    counts = [
        kernels.without_repeats(words)
        for kernels, words in zip((union, union_reference), results, strict=True)
    ]
    assert counts == [len(set(values))] * 2
    assert all(words[: counts[0]].tolist() == sorted(set(values)) for words in results)


def test_a_huge_bucket_is_linear():
    hashes, rows = np.zeros(100_000, np.uint64), np.arange(100_000, dtype=np.uint32)
    pieces = list(union.bucket_pairs(hashes, rows, 10_000))
    assert sum(map(len, pieces)) <= (union_reference.LINKS + 1) * 100_000
    parent = np.arange(100_000)
    for piece in pieces:
        union.unite(parent, piece.view(np.uint32).reshape(-1, 2).astype(np.int64))
    union.flatten(parent)
    assert not parent.any()


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from([0.8, 0.9, 1.0])), max_size=20)
)
def test_the_nearest_rows_equal_the_reference(edges):
    edges = [edge for edge in edges if edge[0] != edge[1]]
    pairs = np.array([edge[:2] for edge in edges], np.int64).reshape(-1, 2)
    similarity = np.array([edge[2] for edge in edges])
    results = [(np.full(10, -1, np.int64), np.zeros(10)) for _ in range(2)]
    for kernels, (partner, nearest) in zip((union, union_reference), results, strict=True):
        kernels.keep_nearest(pairs, similarity, partner, nearest)
    assert [each.tolist() for each in results[0]] == [each.tolist() for each in results[1]]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=50), st.randoms())
def test_components_equal_the_reference_in_any_order(pairs, random):
    expected, result = np.arange(40), np.arange(40)
    union_reference.unite(expected, np.array(pairs, np.int64).reshape(-1, 2))
    union_reference.flatten(expected)
    random.shuffle(pairs)
    union.unite(result, np.array([pair[::-1] for pair in pairs], np.int64).reshape(-1, 2))
    union.flatten(result)
    assert np.array_equal(result, expected)
    assert all(result[row] <= row and result[result[row]] == result[row] for row in range(40))


FUZZ = """
import numpy as np
from forge_gpu.kernels.cpu import minhash, shingles
from forge_gpu.kernels.reference import minhash as m, shingles as r
random = np.random.default_rng(11)
folds = [r.fold_table(False, False, False), r.fold_table(True, True, True)]
for step in range(60):
    size = int(random.integers(0, 3000))
    data = random.integers(0, 256 if step % 2 else 128, size, np.uint8)
    if step % 3 == 0:
        data = data | np.uint8(0xC0)
    offsets = np.sort(random.integers(0, size + 1, 4)).astype(np.int64)
    for kind in (r.CHARACTERS, r.WORDS):
        n = int(random.integers(1, r.MAX_UNITS + 1))
        arguments = (data, offsets, kind, n, folds[step % 2])
        minhash.band_hashes(*arguments, m.multipliers(100, 1), 14, 7)
        values, ends = shingles.distinct(*arguments)
        shingles.intersections(values, ends, values, ends, np.array([[0, 1], [0, 2], [2, 1]]))
        shingles.first_found(*arguments, r.lookup(values, np.arange(len(values))))
try:
    shingles.intersections(values, ends, values, ends, np.array([[0, 3]]))
except IndexError:
    print("done")
"""


@pytest.mark.slow
def test_checked_mode_finds_no_access_outside():
    checked = {**os.environ, "FORGE_CHECKED_KERNELS": "1"}
    done = subprocess.run([sys.executable, "-c", FUZZ], env=checked, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "done\n", done.stderr
