import pytest

from forge_gpu.errors import TemplateError
from forge_gpu.models.registry import families, find, models, table
from forge_gpu.templates.builtin import builtins


def test_every_entry_is_whole_and_consistent():
    names = [model.name for model in models()]
    assert len(names) == len(set(names)) >= 25
    for model in models():
        assert model.family in families(), model.name
        assert model.template is None or model.template in builtins(), model.name
        assert "eos_token" in model.special_tokens, model.name
        assert set(model.uses) <= {"chat", *table()["goals"]}, model.name
        # the layers and the embedding that are stated must be of the size of the parameters that are stated
        blocks = 12 * model.layers * model.hidden**2 + model.vocabulary * model.hidden
        assert 0.4 < blocks / (model.parameters * 1e9) < 2.0, (model.name, blocks)


def test_every_family_has_a_known_template():
    assert all(family.template is None or family.template in builtins() for family in families().values())
    assert all(name in families() for names in table()["ambiguous"].values() for name in names)


@pytest.mark.parametrize(
    "name", ["Qwen/Qwen2.5-7B-Instruct", "qwen2.5-7b-instruct", "QWEN/qwen2.5-7b-INSTRUCT"]
)
def test_an_exact_name(name):
    match = find(name)
    assert match and match.model and match.exact
    assert match.model.name == "Qwen/Qwen2.5-7B-Instruct"


def test_a_slip_of_the_pen_is_no_exact_name():
    match = find("Qwen2.5-7B-Instrct")
    assert match and match.model and not match.exact
    assert match.model.name == "Qwen/Qwen2.5-7B-Instruct"


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("Llama-2-7b-chat", "llama-2"),
        ("llama2-70b", "llama-2"),
        ("CodeLlama-34b-Instruct", "llama-2"),
        ("Meta-Llama-3-8B", "llama-3"),
        ("Llama-3.3-70B-Instruct", "llama-3"),
        ("someone/Hermes-3-Llama-3.1-8B", "llama-3"),  # the base decides: its tokens are not chatml's
        ("TinyLlama-1.1B", "tinyllama"),
        ("gemma-2-27b-it", "gemma"),
        ("gemma-3-27b-it", "gemma"),
        ("gemma-4-31B-it", "gemma-4"),
        ("Qwen3-30B-A3B", "qwen3"),
        ("qwen", "qwen2.5"),
        ("vicuna-13b-v1.3", "vicuna"),
        ("Mistral-Small-3.2-24B", "mistral"),
        ("phi-3.5-mini", "phi-3"),
    ],
)
def test_a_family_by_the_words_of_a_name(name, family):
    match = find(name)
    assert match and (match.family.name, match.exact) == (family, False)


@pytest.mark.parametrize("name", ["llama", "my-llama-7b", "llama-7b", "phi", "org/phi-small"])
def test_a_name_of_several_families_is_refused(name):
    with pytest.raises(TemplateError, match=r"could be any of .*--model DIR.*--template"):
        find(name)


@pytest.mark.parametrize("name", ["gpt2", "yikes", "graphite", "", "/", "12", "\0"])
def test_an_unknown_name_is_none(name):
    assert find(name) is None
