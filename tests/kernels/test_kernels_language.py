"""language: against the reference and against the library whose model it is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.kernels.cpu.language import languages_of
from forge_gpu.kernels.reference import language as reference
from forge_gpu.quality.language import detector
from tests.kernels.adversarial import edge_text, run_checked

langid = pytest.importorskip("py3langid.langid")
SENTENCES = {
    "en": "What is the capital of France? It is Paris, which lies on the river Seine.",
    "de": "Was ist die Hauptstadt von Frankreich? Es ist Paris, das an der Seine liegt.",
    "fr": "Quelle est la capitale de la France ? C'est Paris, qui se trouve sur la Seine.",
    "es": "¿Cuál es la capital de Francia? Es París, que está a orillas del río Sena.",
    "zh": "法国的首都是哪里？是巴黎，位于塞纳河畔。",
    "ja": "フランスの首都はどこですか？パリです。セーヌ川のほとりにあります。",
    "ru": "Какая столица Франции? Это Париж, который стоит на реке Сене.",
    "ar": "ما هي عاصمة فرنسا؟ إنها باريس، التي تقع على نهر السين.",
    "hi": "फ्रांस की राजधानी क्या है? यह पेरिस है, जो सीन नदी पर स्थित है।",
}
PIECES = st.sampled_from([*" .,eatn", "the ", "und ", "é", "中", "LOUD ", "\u0301", *SENTENCES.values()])


@given(
    rows=st.lists(
        st.lists(PIECES, max_size=30).map("".join).map(str.encode) | st.binary(max_size=60), max_size=4
    )
)
@settings(deadline=None, max_examples=40)
def test_equals_the_reference(rows: list[bytes]) -> None:
    text, model = edge_text(rows), detector().model
    made, expected = languages_of(text, model), reference.languages_of(text, model)
    assert np.array_equal(made[0], expected[0]) and np.array_equal(made[1], expected[1])


@given(st.floats(max_value=0.0, min_value=-750.0))
def test_the_exponential_is_right_to_the_last_bits(x: float) -> None:
    assert reference.exponential(x) == pytest.approx(math.exp(x), rel=2e-15, abs=1e-300)


def test_logarithms_are_those_of_the_c_library_to_the_last_bits() -> None:
    expected = [math.log1p(times) for times in range(reference.MOST_BYTES + 1)]
    assert reference.LOG.tolist() == pytest.approx(expected, rel=1e-15)


def test_says_what_the_library_says() -> None:
    identifier = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
    number, share = languages_of(edge_text([each.encode() for each in SENTENCES.values()]), detector().model)
    for k, (name, sentence) in enumerate(SENTENCES.items()):
        said, sure = identifier.classify(sentence)
        assert detector().names[number[k]] == said == name
        assert share[k] == pytest.approx(sure, abs=0.01)


def test_in_checked_mode() -> None:
    run_checked(__file__)
