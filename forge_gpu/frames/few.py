"""Few rows, rendered in Python by the same programs: below some hundred rows, calling the kernels costs more
than what they save.

Only rows that nothing can be said against are taken: texts where texts are to be, messages of a role and a
text. For any other the whole frame goes to the kernels, which know what to refuse, and why.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from forge_gpu.frames.sampling import MOST_RECORDS
from forge_gpu.templates.conversations import Conversation, ListShape
from forge_gpu.templates.fields import ColumnsRenderer
from forge_gpu.templates.jinja_renderer import JinjaRenderer
from forge_gpu.templates.program import Literal, LiteralIfText, Program, Slot
from forge_gpu.templates.renderer import Renderer
from forge_gpu.templates.roles import ROLES
from forge_gpu.templates.tracing.compiler import texts_of
from forge_gpu.templates.tracing.expressions import Leaf, Text, evaluate
from forge_gpu.templates.tracing.fields import Compiled, Result, trace_fields
from forge_gpu.templates.tracing.trace import Questions, Tracer
from forge_gpu.templates.tracing.tree import Tree
from forge_gpu.templates.values import ABSENT

MOST_ROWS = MOST_RECORDS
MOST_SHAPES = 1024
"""Sequences of roles that get a program here."""

Values = Sequence[list[Any]]
Messages = list[dict[str, str]]


class FewRows(Protocol):
    """Gives the text of each row, from the values of the recipe's columns; None for what it leaves alone."""

    def __call__(self, values: Values) -> list[str] | None: ...


def few_rows(renderer: Renderer, columns: Sequence[str]) -> FewRows | None:
    """What renders few rows; None where only the kernels do. columns: those of the values it is given."""
    match renderer:
        case ColumnsRenderer(refused={}) if all(isinstance(p, _PARTS) for p in renderer.templates["text"]):
            return _Columns(renderer, columns)
        case JinjaRenderer(shapes=(ListShape(renamed=renamed, system=None, tools=None),)):
            roles = frozenset(ROLES) - renamed.keys()
            return _Conversations(renderer, roles) if renderer.compiler is not None else None
    return None


_PARTS = (Literal, Slot, LiteralIfText)


class _Columns:
    """A program over columns."""

    def __init__(self, renderer: ColumnsRenderer, columns: Sequence[str]) -> None:
        self._needed = [columns.index(name) for name in renderer.needed]
        self._optional = [columns.index(name) for name in renderer.optional]
        self._form, self._picked = _form_of(renderer.templates["text"], columns)

    def __call__(self, values: Values) -> list[str] | None:
        if any(set(map(type, values[place])) != {str} for place in self._needed):
            return None
        if any(not set(map(type, values[place])) <= {str, type(None)} for place in self._optional):
            return None
        columns = [
            [text if value else "" for value in values[place]] if text else _texts(values[place])
            for place, text in self._picked
        ]
        if not columns:
            return None
        form = self._form
        return _sound([form % row for row in zip(*columns, strict=True)])


def _form_of(program: Program, columns: Sequence[str]) -> tuple[str, list[tuple[int, str]]]:
    """A program as a text for `%`, and what goes into it: the place of a column, and the text that stands for
    its value where there is one, "" for the value itself."""
    form, picked = [], []
    for part in program:
        if isinstance(part, Literal):
            form.append(part.text.decode().replace("%", "%%"))
            continue
        assert isinstance(part, Slot | LiteralIfText)
        form.append("%s")
        picked.append(
            (columns.index(part.column), part.text.decode() if isinstance(part, LiteralIfText) else "")
        )
    return "".join(form), picked


def _texts(values: list[Any]) -> list[str]:
    return [value or "" for value in values] if None in values else values


class _Conversations:
    """The programs of a chat template, by the roles of the messages. Each is compared with Jinja once. roles:
    those that are passed on as they are."""

    def __init__(self, renderer: JinjaRenderer, roles: frozenset[str]) -> None:
        assert renderer.compiler is not None
        self._template, self._roles = renderer.template, roles
        self._tracer: Tracer = renderer.compiler.tracer
        self._trees: dict[tuple[str, ...], Tree] = {}
        self._makers: dict[Compiled, Callable[[Messages], str]] = {}

    def __call__(self, values: Values) -> list[str] | None:
        texts = []
        for value in values[0]:
            text = self._text(_list(value) if type(value) is str else value)
            if not text:
                return None
            texts.append(text)
        return _sound(texts)

    def _text(self, messages: Any) -> str | None:
        if type(messages) is not list or not messages:
            return None
        for message in messages:
            if type(message) is not dict or len(message) != 2 or type(message.get("content")) is not str:
                return None
            if message.get("role") not in self._roles or next(iter(message)) != "role":
                return None
        tree = self._tree(tuple([message["role"] for message in messages]))
        if tree is None:
            return None
        result = tree.root
        if not isinstance(result, Compiled):
            result = tree.find(texts_of(Conversation(messages)))
            if result is None:
                result = self._traced(tree, messages)
        return self._made(result, messages) if isinstance(result, Compiled) else None

    def _tree(self, roles: tuple[str, ...]) -> Tree | None:
        tree = self._trees.get(roles)
        if tree is None and len(self._trees) < MOST_SHAPES:
            tree = self._trees[roles] = Tree()
        return tree

    def _traced(self, tree: Tree, messages: Messages) -> Result | None:
        conversation = Conversation(messages, ABSENT)
        questions = Questions(texts_of(conversation))
        result = trace_fields(self._tracer, conversation, questions, split=False)
        if isinstance(result, Compiled) and self._made(result, messages) != self._template.render(
            conversation
        ):
            return None  # the kernels' guard says what to do about it
        tree.graft(questions.answers.items(), result)
        return result

    def _made(self, result: Compiled, messages: Messages) -> str:
        maker = self._makers.get(result)
        if maker is None:
            maker = self._makers[result] = _maker(result)
        return maker(messages)


def _list(text: str) -> Any:
    """The list that a text in JSON spells; None where the kernels know better, as of a repeated key."""
    if not text.startswith("[") or "\n" in text or "\r" in text:
        return None
    try:
        return json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        return None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key that is there twice")
    return made


def _maker(result: Compiled) -> Callable[[Messages], str]:
    """What writes the text of a conversation that goes this way."""
    (parts,) = result.fields
    if any(not isinstance(part, Text | Leaf) for part in parts):
        return lambda messages: "".join([evaluate(p, texts_of(Conversation(messages))) for p in parts])
    form = "".join(part.text.replace("%", "%%") if isinstance(part, Text) else "%s" for part in parts)
    places = [part.path[0] for part in parts if isinstance(part, Leaf)]
    if places == list(range(len(places))):
        return lambda messages: form % tuple([message["content"] for message in messages])
    return lambda messages: form % tuple([messages[place]["content"] for place in places])  # type: ignore[index]


def _sound(texts: list[str]) -> list[str] | None:
    """The texts, if none is empty and all have UTF-8."""
    if "" in texts:
        return None
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return None
    return texts
