import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_gpu.models.choose import GIB, best_method, choose, need, recommended_batch_size, use_of
from forge_gpu.models.registry import models

SEVEN = next(model for model in models() if model.name == "Qwen/Qwen2.5-7B-Instruct")


def test_full_fine_tuning_takes_sixteen_bytes_a_parameter():
    assert need(SEVEN, "full").fixed == pytest.approx(SEVEN.parameters * 1e9 * 16 * 1.15 + GIB)


def test_adapters_keep_frozen_weights_and_states_of_their_own():
    parameters = SEVEN.parameters * 1e9
    adapters = 16 * 18 * SEVEN.hidden * SEVEN.layers
    assert need(SEVEN, "lora").fixed == pytest.approx(1.15 * (parameters * 2 + adapters * 16) + GIB)
    embedding = 2 * SEVEN.vocabulary * SEVEN.hidden
    weights = (parameters - embedding) * 0.53 + embedding * 2
    assert need(SEVEN, "qlora").fixed == pytest.approx(1.15 * (weights + adapters * 16) + GIB)


@pytest.mark.parametrize(
    ("gib", "method"), [(8, None), (12, None), (16, "qlora"), (24, "lora"), (80, "lora")]
)
def test_what_seven_billion_parameters_can_be_tuned_with(gib, method):
    assert best_method(SEVEN, gib * GIB) == method


@given(
    model=st.sampled_from(models()),
    gib=st.integers(1, 200),
    method=st.sampled_from(["full", "lora", "qlora"]),
)
def test_the_recommended_batch_fits_and_the_double_does_not(model, gib, method):
    batch = recommended_batch_size(model, gib * GIB, method)
    cost = need(model, method)
    usable = gib * GIB * 0.95
    if batch is None:
        assert cost.total(1) > usable
    else:
        assert cost.total(batch) <= usable
        assert batch == 64 or cost.total(2 * batch) > usable


@pytest.mark.parametrize("gib", [4, 8, 16, 24, 48, 80, 640])
def test_the_choice_is_the_largest_that_fits(gib):
    choice = choose("support assistant", gib * GIB)
    assert choice.need and choice.model and choice.need.total(1) <= gib * GIB * 0.95
    assert f"{choice.model.parameters:g}B parameters" in choice.arithmetic
    for other in models():
        if other.template and "chat" in other.uses and other.licence in ("apache-2.0", "mit"):
            larger = other.parameters > choice.model.parameters
            assert not (larger and recommended_batch_size(other, gib * GIB, choice.need.method))


def test_the_goal_decides_the_use():
    assert use_of("a Python helper for our code base") == "code"
    assert use_of("maths tutor") == "mathematics"
    assert use_of("decode old letters") == "chat"
    assert use_of(None) == "chat"
    model = choose("python", 24 * GIB).model
    assert model and "Coder" in model.name


def test_nothing_fits_in_half_a_gibibyte():
    choice = choose(None, GIB // 2)
    assert choice.model is None
    assert "not even" in choice.arithmetic
