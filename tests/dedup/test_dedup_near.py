"""dedup.near and dedup.lsh: recall, precision, and independence of budgets and chunks."""

from __future__ import annotations

from contextlib import closing
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.dedup import grouped
from forge_gpu.dedup.clusters import Clusters
from forge_gpu.dedup.lsh import RECALL, Bands, candidates
from forge_gpu.dedup.near import BYTES_A_BYTE, NearDuplicates, compare, find_clusters, survivors
from forge_gpu.dedup.shingling import Shingling
from forge_gpu.engine.gpu.arrays import DeviceArrays
from forge_gpu.errors import ConfigError
from forge_gpu.kernels.arrays import on_host
from forge_gpu.kernels.cpu.shingles import distinct, intersections
from forge_gpu.kernels.reference import union
from tests.dedup.generated_texts import column, edited_pairs, jaccard, shingle_set
from tests.kernels.host_device import HostDevice

RATES = [0.005, 0.01, 0.02, 0.04, 0.08, 0.15]


class Elsewhere:
    """Decides away from the host, with so many bytes of room; gives every second question back."""

    def __init__(self, room: int) -> None:
        self.arrays = DeviceArrays(HostDevice(), room)
        self.asked = {"compared": 0, "joined": 0}

    def decided(self, work, rows):
        return work(self.arrays)

    def _takes(self, what: str) -> bool:
        self.asked[what] += 1
        return self.asked[what] % 2 == 1

    def shared_shingles(self, texts, pairs, kind, n, fold):
        (text,) = texts
        if not self._takes("compared"):
            return None
        values, offsets = distinct(text.data, text.offsets, kind, n, fold)
        shared = intersections(values, offsets, values, offsets, pairs)
        return shared, np.diff(offsets)[pairs].sum(axis=1)

    def united(self, parent, partner, nearest, pairs, similarity):
        if not self._takes("joined"):
            return None
        made = parent.copy(), partner.copy(), nearest.copy()
        union.unite(made[0], pairs)
        union.flatten(made[0])
        union.keep_nearest(pairs, similarity, *made[1:])
        return made


def clusters_of(texts, settings, budget=2**30, chunks=(0, None), live=None, threads=1, **there):
    """All steps, with band hashes made in chunks and given to the search in pieces."""
    bounds = [len(texts) if end is None else end for end in chunks]
    pieces = [settings.band_hashes(column(texts[a:b])) for a, b in pairwise(bounds)]
    sizes = np.array([len(text.encode()) for text in texts], np.int64)
    return find_clusters(
        settings,
        lambda band: [piece[:, band] for piece in pieces],
        np.ones(len(texts), bool) if live is None else live,
        sizes,
        lambda rows: column([texts[row] for row in rows]),
        budget,
        threads,
        **there,
    )


@pytest.mark.parametrize("room", [2**12, 2**30])
@pytest.mark.parametrize("read_there", [True, False])
def test_clusters_that_are_found_elsewhere(texts, room, read_there):
    expected = clusters_of(texts, NearDuplicates())
    decider = Elsewhere(room)
    read = (lambda rows: [column([texts[row] for row in rows])]) if read_there else None
    result = clusters_of(texts, NearDuplicates(), room, decider=decider, read_texts=read)
    assert min(decider.asked.values()) > (1 if room == 2**12 else 0)
    for name in ("label", "partner", "similarity"):
        assert getattr(result, name).tolist() == getattr(expected, name).tolist()


@pytest.fixture(scope="module")
def texts():
    made = [text for _, one, other in edited_pairs(4, RATES, 20) for text in (one, other)]
    return [made[i] for i in np.random.default_rng(0).permutation(len(made))]


@pytest.fixture(scope="module")
def truth(texts):
    sets = [shingle_set(text) for text in texts]
    return {(a, b): jaccard(sets[a], sets[b]) for a, b in combinations(range(len(texts)), 2)}


def test_recall_and_precision_against_brute_force(texts, truth):
    result = clusters_of(texts, NearDuplicates())
    required = [pair for pair, similarity in truth.items() if similarity >= 0.8]
    assert len(required) > 40
    together = [result.label[a] == result.label[b] for a, b in required]
    assert np.mean(together) >= 0.98
    expected = np.arange(len(texts))  # components of the true pairs, by relabelling
    for a, b in required:
        expected[expected == max(expected[a], expected[b])] = min(expected[a], expected[b])
    assert all(expected[result.label[row]] == expected[row] for row in range(len(texts)))  # precision 1
    for row in np.flatnonzero(result.partner >= 0):
        pair = (min(row, result.partner[row]), max(row, result.partner[row]))
        assert result.similarity[row] == truth[pair] >= 0.8
    joined = result.label != np.arange(len(texts))
    partners = result.partner[joined]
    assert (partners >= 0).all() and np.array_equal(result.label[partners], result.label[joined])


@pytest.mark.parametrize("budget", [1, 20_000, 200_000])
def test_clusters_are_independent_of_budget_and_chunks(texts, budget):
    whole = clusters_of(texts, NearDuplicates())
    parted = clusters_of(texts, NearDuplicates(), budget, (0, 1, 50, 51, None), threads=1 + budget % 3)
    assert np.array_equal(parted.label, whole.label)
    assert np.array_equal(parted.partner, whole.partner)
    assert np.array_equal(parted.similarity, whole.similarity)


def words_of(pairs):
    """Pairs (smaller row, larger row) as the words that the search has."""
    return np.array([larger << 32 | smaller for smaller, larger in pairs], np.uint64)


@pytest.mark.parametrize("threads", [1, 3, "device"])
@pytest.mark.parametrize("budget", [1, 20_000, 200_000, 2**30])
def test_candidates_are_the_pairs_of_all_buckets_whatever_room_there_is(
    tmp_path, budget, threads, monkeypatch
):
    random = np.random.default_rng(2)
    bands = random.integers(0, 4000, (6000, 3)).astype(np.uint64) * np.uint64(2**52)
    bands[::3, 1] = 7  # a bucket of very many rows
    live = random.random(6000) < 0.8
    rows = np.flatnonzero(live).astype(np.uint32)
    expected = np.unique(np.concatenate([union.bucket_pairs(band[live], rows) for band in bands.T]))

    def read(band):
        return [bands[:2500, band], bands[2500:2500, band], bands[2500:, band]]

    at_once, decided, device = threads, on_host, HostDevice()
    if threads == "device":
        at_once, decided = 1, lambda work, rows: work(DeviceArrays(device, 300_000))
        monkeypatch.setattr(grouped, "_PAIRS_AT_ONCE", 1000)
        monkeypatch.setattr(grouped, "_LEAST_ROWS", 100)
    with closing(candidates(read, 3, live, budget, at_once, tmp_path, decided)) as pairs:
        assert list(tmp_path.iterdir()) == []  # what is on the disk has no name
        pieces = list(pairs.in_order())
    assert np.array_equal(np.concatenate(pieces), expected)  # each once, in order
    assert (device.made > 100) == (threads == "device") and device.held == 0
    assert (len(pieces) > 3) == (budget < 2**30)  # of small budgets the file is needed
    assert np.array_equal(np.flatnonzero(pairs.rows), np.unique(expected.view(np.uint32)))


@pytest.mark.parametrize("budget", [1, 2**20, 4 * 2**20, 2**30])
def test_a_band_is_read_twice_whatever_room_its_hashes_take(budget):
    random = np.random.default_rng(3)
    hashes = random.integers(0, 2**64, 2**17, np.uint64)
    hashes[2**16 + 2**15 :] = hashes[: 2**15]
    read: list[int] = []

    def read_band(band):
        read.append(band)
        return [hashes]

    with closing(candidates(read_band, 1, np.ones(2**17, bool), budget)) as pairs:
        assert sum(map(len, pairs.in_order())) == 2**15
    assert len(read) == 2  # hashes alone are 1 MiB


def test_compare_batches_by_size_and_keeps_order(texts, truth):
    pairs = np.array([pair for pair in truth if pair[0] < 3], np.int64)
    sizes = np.array([len(text) for text in texts], np.int64)
    asked = []

    def read_rows(rows):
        asked.append(int(sizes[rows].sum()))
        assert (np.diff(rows) > 0).all()
        return column([texts[row] for row in rows])

    batches = list(compare([words_of(pairs.tolist())], sizes, read_rows, Shingling(), BYTES_A_BYTE * 20_000))
    assert len(batches) > 3 and max(asked) <= 20_000
    assert np.array_equal(np.concatenate([batch for batch, _ in batches]), pairs)
    result = np.concatenate([similarity for _, similarity in batches]).tolist()
    assert result == [truth[pair] for pair in map(tuple, pairs.tolist())]


def test_threads_compare_the_same(texts, truth):
    pairs = np.sort(words_of([pair for pair in truth if pair[1] < 30]))
    sizes = np.array([len(text) for text in texts], np.int64)

    def read_rows(rows):
        return column([texts[row] for row in rows])

    def compared(threads, pieces):
        batches = list(compare(pieces, sizes, read_rows, Shingling(), BYTES_A_BYTE * 20_000, threads))
        return [np.concatenate(each).tolist() for each in zip(*batches, strict=True)]

    assert compared(1, [pairs]) == compared(2, [pairs[:7], pairs[7:7], pairs[7:]])


def test_what_fails_in_a_thread_is_raised_and_ends_the_others(texts, truth):
    pairs = np.sort(words_of([pair for pair in truth if pair[1] < 40]))
    sizes = np.array([len(text) for text in texts], np.int64)

    def read_rows(rows):
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(compare([pairs], sizes, read_rows, Shingling(), BYTES_A_BYTE * 20_000, 2))


def test_texts_without_shingles_are_like_nothing():
    result = clusters_of(["", "", "  ", "\n", "same", "same"], NearDuplicates())
    assert result.label.tolist() == [0, 1, 2, 3, 4, 4]


def test_rows_that_are_not_live_join_nothing(texts):
    live = np.arange(len(texts)) % 2 == 0
    result = clusters_of(texts, NearDuplicates(), live=live)
    assert (result.partner[~live] == -1).all() and live[result.partner[result.partner >= 0]].all()


def test_normalisation_decides_what_is_equal():
    texts = ["Hello,  World! How are you?", "hello, world! how are you?", "hello world how are you"]

    def labels(**options):
        return clusters_of(
            texts, NearDuplicates(shingling=Shingling(**options), threshold=1.0)
        ).label.tolist()

    assert labels() == [0, 0, 2]
    assert labels(case=False, white_space=False) == [0, 1, 2]
    assert labels(punctuation=True) == [0, 0, 0]
    assert labels(unit="words", size=2, punctuation=True) == [0, 0, 0]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 14), st.integers(0, 14), st.sampled_from([0.8, 0.9, 1.0])).filter(
            lambda edge: edge[0] != edge[1]
        ),
        max_size=25,
        unique_by=lambda edge: frozenset(edge[:2]),
    ),
    st.integers(1, 5),
    st.randoms(),
)
def test_clusters_do_not_depend_on_the_order_of_pairs(edges, pieces, random):
    def build(ordered, step):
        built = Clusters(15)
        for start in range(0, len(ordered), step):
            part = ordered[start : start + step]
            built.add(np.array([edge[:2] for edge in part], np.int64), np.array([edge[2] for edge in part]))
        built.close()
        return built.label.tolist(), built.partner.tolist(), built.similarity.tolist()

    whole = build(edges, 100)
    random.shuffle(edges)
    assert build(edges, pieces) == whole
    for row, partner in enumerate(whole[1]):
        near = [(-s, b if a == row else a) for a, b, s in edges if row in (a, b)]
        assert (partner, whole[2][row]) == ((min(near)[1], -min(near)[0]) if near else (-1, 0))


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_survivors(data):
    label = np.array([data.draw(st.sampled_from([row, *range(min(row, 4))])) for row in range(10)])
    label = np.array([label[label[label[row]]] for row in range(10)])
    label = np.array([label[label[row]] for row in range(10)])
    live = np.array(data.draw(st.lists(st.booleans(), min_size=10, max_size=10)))
    scores = data.draw(
        st.none()
        | st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 1), min_size=10, max_size=10)
        | st.lists(st.sampled_from([0.5, -1.0, float("nan"), float("-inf")]), min_size=10, max_size=10)
    )
    score = None if scores is None else np.array(scores, float if isinstance(scores[0], float) else np.int64)
    result = survivors(label, live, score).tolist()
    for row in range(10):
        members = [other for other in range(10) if label[other] == label[row] and live[other]]
        if not live[row]:
            assert result[row] == -1
            continue

        def rank(member):
            value = 0 if scores is None else scores[member]
            return (value != value, -value if value == value else 0, member)

        best = min(members, key=rank)
        assert result[row] == (-1 if best == row else best)


def test_bands_follow_the_threshold():
    assert Bands.choose(0.8, 128) == Bands(21, 6)
    assert Bands(16, 8).curve(0.8) == pytest.approx(0.947, abs=1e-3)
    assert Bands(20, 6).curve(0.8) == pytest.approx(0.998, abs=1e-3)
    for threshold in (0.3, 0.5, 0.7, 0.9, 1.0):
        bands = Bands.choose(threshold, 128)
        longer = Bands(128 // (bands.rows + 1), bands.rows + 1)
        assert bands.curve(threshold) >= RECALL
        assert threshold == 1.0 or longer.curve(threshold) < RECALL
    assert Bands.choose(0.01, 16) == Bands(16, 1)
    line = NearDuplicates().bands.explain(0.8)
    assert (
        line.startswith("21 bands of 6 values find 99.83% of the pairs at Jaccard 0.8;") and "30.5%" in line
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: NearDuplicates(threshold=0),
        lambda: NearDuplicates(threshold=1.1),
        lambda: NearDuplicates(permutations=0),
        lambda: NearDuplicates(banding=Bands(20, 8)),
        lambda: Shingling(size=0),
        lambda: Shingling(size=33),
    ],
)
def test_settings_that_cannot_work_are_refused(make):
    with pytest.raises(ConfigError):
        make()
