"""Rows choose among a model's templates as apply_chat_template does."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from forge_gpu.models.folder import read_folder
from forge_gpu.models.several import template_of
from forge_gpu.templates.jinja_renderer import JinjaRenderer
from tests.templates.chat_cases import TOOL
from tests.templates.chat_support import TOKENS, WRITTEN, chat_template, render
from tests.templates.differential import SHAPE
from tests.templates.tokenizers_of import applied, tokenizer_of, transformers

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
    """A template of another name is taken by its name alone, be it the only one."""
    named = {"tool_use": "tools", "rag": "never"}
    assert template_of(named, tools=False) is None and template_of({"rag": "r"}, tools=True) is None
    for templates in (named, {"tool_use": "tools"}):
        template = chat_template(template_of(templates, tools=True) or "")
        made = render(JinjaRenderer(template, (SHAPE,), ("text",)), ROWS)
        assert [isinstance(row, tuple) for row in made] == [True, False, False, True]


PLAIN, TOOLS = "P{% for m in messages %}{{ m.content }}{% endfor %}{{ eos_token }}\n", "T{{ tools | length }}"
FILE, MORE = "chat_template.jinja", "additional_chat_templates/"
LISTED = [{"name": "default", "template": PLAIN}, {"name": "tool_use", "template": TOOLS}]
LAYOUTS: dict[str, tuple[dict[str, str], Any]] = {
    "the file before the configuration": ({FILE: PLAIN}, TOOLS),
    "the file before a list": ({FILE: PLAIN}, LISTED),
    "a list": ({}, [*LISTED, {"name": "rag", "template": "never"}]),
    "a mapping": ({}, {"default": PLAIN, "tool_use": TOOLS}),
    "a name twice": ({}, [LISTED[0], {"name": "default", "template": "the last"}]),
    "a folder of others": ({FILE: PLAIN, MORE + "tool_use.jinja": TOOLS, MORE + "rag.jinja": "never"}, None),
    "others alone": ({MORE + "tool_use.jinja": TOOLS}, PLAIN),
    "one of another name": ({MORE + "rag.jinja": "never"}, PLAIN),
    "the default among others": ({MORE + "default.jinja": PLAIN}, None),
    "deeper, not jinja": ({FILE: PLAIN, MORE + "x/tool_use.jinja": "x", MORE + "tool_use.txt": "x"}, None),
    "an empty file": ({FILE: ""}, PLAIN),
    "a mark of the byte order": ({FILE: "\ufeff" + PLAIN}, None),
    "line ends of other systems": ({FILE: "a\rb\r\n" + PLAIN + "\r\n", MORE + "tool_use.jinja": "c\r"}, None),
    "a processor's beside it": ({"processor_config.json": '{"chat_template": "never"}'}, PLAIN),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_is_read_as_transformers_reads_it(tmp_path: Path, layout: str) -> None:
    files, config = LAYOUTS[layout]
    folder = tmp_path / "model"
    tokenizer_of("", TOKENS).save_pretrained(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    shutil.rmtree(folder / MORE, ignore_errors=True)
    (folder / FILE).unlink(missing_ok=True)
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": config}))
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode())
    tokenizer = transformers().AutoTokenizer.from_pretrained(folder)
    model = read_folder(folder)
    taken = model.template_for(tools=True)
    required = [applied(tokenizer, row) for row in ROWS]
    assert (taken is None) == all(isinstance(row, Exception) for row in required)
    if taken is not None:
        template = chat_template(taken, model.special_tokens)
        made = render(JinjaRenderer(template, (SHAPE,), ("text",)), ROWS)
        shown = [row["text"] if isinstance(row, dict) else None for row in made]
        assert shown == [row if isinstance(row, str) else None for row in required]
