"""dedup.against: rows near or equal to evaluation rows."""

from __future__ import annotations

import numpy as np
import pytest

from forge_gpu.dedup.against import Against, Decontamination
from forge_gpu.dedup.near import NearDuplicates
from forge_gpu.dedup.shingling import Shingling
from tests.dedup.generated_texts import column, edited_pairs, jaccard, shingle_set

QUESTION = "A train leaves the station at nine and travels for three hours at sixty miles an hour; how far?"


def test_ngram_rule_finds_a_quoted_run_whatever_its_case_and_punctuation():
    against = Against(column(["unrelated words " * 9, QUESTION]), Decontamination(near=None))
    quoted = "Solve: a TRAIN leaves the station - at nine, and travels for three hours at once. Why?"
    assert len(quoted.split()) > 13
    texts = [quoted, "A train leaves the station at nine and stops.", "", QUESTION]
    result = against.check(column(texts))
    assert result.ngram.tolist() == [1, -1, -1, 1]
    assert result.near.tolist() == [-1] * 4 and not result.similarity.any()


def test_a_short_evaluation_row_must_be_equal():
    against = Against(column(["What is two plus two?", "", "Name a colour"]), Decontamination(near=None))
    texts = ["what is TWO plus two", "Tell me: what is two plus two?", "", "Name a colour."]
    assert against.check(column(texts)).ngram.tolist() == [0, -1, -1, 2]


def test_near_rule_equals_brute_force():
    pairs = edited_pairs(8, [0.005, 0.01, 0.03, 0.1], 12)
    evaluation, training = [one for _, one, _ in pairs], [other for _, _, other in pairs]
    against = Against(column(evaluation), Decontamination(ngram=None))
    result = against.check(column(training))
    sets = [shingle_set(text) for text in evaluation]
    missed = 0
    for row, text in enumerate(training):
        near = max((jaccard(shingle_set(text), other), -i) for i, other in enumerate(sets))
        if near[0] < 0.8:
            assert result.near[row] == -1 and result.similarity[row] == 0
        elif result.near[row] == -1:
            missed += 1
        else:
            assert (result.similarity[row], result.near[row]) == (near[0], -near[1])
    assert np.count_nonzero(result.near >= 0) > 10 and missed == 0
    parts = [against.check(column(training[start : start + 7])) for start in range(0, len(training), 7)]
    assert np.array_equal(np.concatenate([part.near for part in parts]), result.near)
    assert (result.ngram == -1).all()


def test_equal_rows_take_the_smallest_evaluation_row():
    against = Against(column(["other text", QUESTION, QUESTION, "", ""]), Decontamination())
    result = against.check(column([QUESTION.upper(), "", "nothing of it"]))
    assert result.near.tolist() == [1, -1, -1] and result.similarity.tolist() == [1, 0, 0]
    assert result.ngram.tolist() == [1, -1, -1]


@pytest.mark.parametrize("evaluation", [[], [""]])
def test_nothing_to_compare_with(evaluation):
    result = Against(column(evaluation), Decontamination()).check(column(["a text", ""]))
    assert result.ngram.tolist() == [-1, -1] and result.near.tolist() == [-1, -1]


def test_rules_are_configurable():
    rules = Decontamination(
        ngram=Shingling(unit="words", size=5), near=NearDuplicates(threshold=0.5, shingling=Shingling(size=3))
    )
    result = Against(column([QUESTION]), rules).check(
        column([QUESTION[:60], "leaves the station at nine or"])
    )
    assert result.ngram.tolist() == [0, 0] and result.near.tolist() == [0, -1]
