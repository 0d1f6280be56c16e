"""What probes find out about templates."""

import pytest

from forge_gpu.templates.environment import ChatTemplate
from forge_gpu.templates.probes import probe
from tests.templates.chat_support import TOKENS, WRITTEN

FOUND: dict[str, dict[str, object]] = {
    "chatml": {
        "writes_bos": False,
        "system": "written",
        "takes_tools": False,
        "end_of_turn": ("<|im_end|>",),
    },
    "stripped_with_bos": {"writes_bos": True, "enforces_alternation": True, "end_of_turn": ("<|eot|>",)},
    "system_in_first_user": {"system": "written", "writes_bos": True, "end_of_turn": (" </s>",)},
    "no_system": {"system": "refused", "enforces_alternation": False},
    "default_system_and_tools": {"takes_tools": True, "prefix_preserving": True, "depends_on_date": False},
    "thinking": {"drops_earlier_thinking": True, "prefix_preserving": False, "generation_tags": False},
    "generation_tags": {"generation_tags": True, "end_of_turn": ("<eos>",)},
    "dated": {"depends_on_date": True},
}


@pytest.mark.parametrize("name", FOUND)
def test_probe(name):
    result = probe(ChatTemplate(WRITTEN[name], TOKENS, {}, "2026-01-02"))
    assert {key: getattr(result, key) for key in FOUND[name]} == FOUND[name]
    assert result.refuses is None


def test_special_tokens_that_differ_by_place():
    source = (
        "{% for m in messages %}{{ m.content }}{{ '<|return|>' if loop.last else '<|end|>' }}{% endfor %}"
    )
    assert probe(ChatTemplate(source, {}, {})).end_of_turn == ("<|end|>", "<|return|>")


def test_a_template_that_refuses_everything():
    result = probe(ChatTemplate("{{ raise_exception('no') }}", {}, {}))
    assert result.refuses == "no"
    assert (result.writes_bos, result.system, result.end_of_turn) == (None, None, None)
