"""Rows choose among a model's templates as apply_chat_template does."""

from typing import Any

import pytest

from forge_gpu.models.several import template_of
from forge_gpu.templates.jinja_renderer import JinjaRenderer
from tests.templates.chat_cases import TOOL
from tests.templates.chat_support import TOKENS, WRITTEN, chat_template, render
from tests.templates.differential import SHAPE
from tests.templates.tokenizers_of import applied, tokenizer_of

TURNS: list[dict[str, Any]] = [{"role": "user", "content": " hi\n"}, {"role": "assistant", "content": "yes"}]
ROWS: list[dict[str, Any]] = [
    {"messages": TURNS},
    *({"messages": TURNS, "tools": tools} for tools in ([TOOL], [], None)),
]
ENDS = [
    "\nplain: {% for m in messages %}{{ m.content }}{% endfor %}  \n",
    "{#- #}  {{ messages | length }}\n\n",
    "{% set x = 1 %}\n{% if x %}  \n\n{% endif -%}\n",
    "  {% macro f() %}f{% endmacro %}{{ f() }} \r\n",
]


@pytest.mark.parametrize("default", [*ENDS, WRITTEN["chatml"]])
@pytest.mark.parametrize("with_tools", [*ENDS, WRITTEN["default_system_and_tools"]])
def test_each_row_takes_the_template_that_transformers_takes(default, with_tools):
    named = {"tool_use": with_tools, "default": default, "rag": "never"}
    tokenizer = tokenizer_of(named, TOKENS)
    text = template_of(named, tools=True)
    assert text is not None
    made = render(JinjaRenderer(chat_template(text), (SHAPE,), ("text",)), ROWS)
    assert made == [{"text": applied(tokenizer, row)} for row in ROWS]


def test_no_default():
    named = {"tool_use": "tools", "rag": "never"}
    text = template_of(named, tools=True)
    template = chat_template(text or "")
    assert text and template_of(named, tools=False) is None and template_of({"rag": "r"}, tools=True) == "r"
    made = render(JinjaRenderer(template, (SHAPE,), ("text",)), ROWS)
    assert [isinstance(row, tuple) for row in made] == [True, False, False, True]
