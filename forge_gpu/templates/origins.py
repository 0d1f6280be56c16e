"""Which control tokens of a rendered text the template wrote, where its program does not tell.

Texts of Jinja's own and of the machine are whole: literals and contents together. Contents can have a share
in a control token only if they hold it, begin or end with a part of it, or go on where a literal begins it.
Those few rows are rendered again with a character in their contents that no text has, just there: a token
that still stands is the template's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jinja2 import nodes
from jinja2.parser import Parser

from forge_gpu.templates.conversations import Conversation
from forge_gpu.templates.environment import ChatTemplate, Refused
from forge_gpu.templates.roles import ROLES, role_aliases

SEPARATOR = "\ufdd0"
"""A code point that is no character: Unicode keeps it for such use."""

Span = tuple[int, int]


class Origins:
    """tokens: those that only a template may write. Belongs to one template."""

    def __init__(self, template: ChatTemplate, tokens: Sequence[str]) -> None:
        self._template = template
        longest = sorted(tokens, key=len, reverse=True)
        self._tokens = re.compile("|".join(map(re.escape, longest)) or "(?!)")
        self._within = re.compile("|".join(f"(?={re.escape(token)})" for token in longest) or "(?!)")
        self._begins = frozenset(token[:k] for token in tokens for k in range(1, len(token)))
        self._ends = frozenset(token[k:] for token in tokens for k in range(1, len(token)))
        self._longest = max(map(len, tokens), default=0)
        sizes = range(1, self._longest)
        ends = {constant[-k:] for constant in constants_of(template) for k in sizes}
        self._after = [token[k:] for token in tokens for k in range(1, len(token)) if token[:k] in ends]
        self._roles = frozenset((*ROLES, "developer", *role_aliases({})))
        self._hint = _hint(tokens)

    def may_forge(self, raw: Iterable[bytes]) -> bool:
        """A quick look at the JSON, or the texts, that a row is made of: False where contents have no share
        in a control token."""
        return bool(self._after) or any(self._hint.search(value) is not None for value in raw)

    def own_tokens(
        self, conversation: Conversation, text: str, is_beginning: bool = False
    ) -> list[Span] | None:
        """The characters of the control tokens in `text` that the template wrote, where contents may have had
        a share in others; [(0, all)] where they had none; None where it cannot be told. is_beginning: of a
        text that begins with `text`, the ranges of the whole."""
        if not any(self._is_suspect(leaf) for leaf in leaves_of(conversation, self._roles)):
            return [(0, len(text))]
        if any(SEPARATOR in leaf for leaf in leaves_of(conversation, frozenset())):
            return None
        try:
            apart = self._template.render(mapped(conversation, self._separated, self._roles))
        except Refused:
            return None
        whole = apart.replace(SEPARATOR, "")
        if not whole.startswith(text) if is_beginning else whole != text:
            return None
        spans, removed, at = [], 0, 0
        for result in self._tokens.finditer(apart):
            removed += apart.count(SEPARATOR, at, result.start())
            at = result.start()
            spans.append((result.start() - removed, result.end() - removed))
        return spans

    def _is_suspect(self, leaf: str) -> bool:
        return self._separated(leaf) != leaf

    def _separated(self, leaf: str) -> str:
        """The content with a separator wherever it may have a share in a control token."""
        inside = [result.start() + 1 for result in self._within.finditer(leaf)]
        body = leaf.strip()
        if body and (inside or self._touches(body)):
            begin = leaf.index(body[0])
            inside += [begin, begin + len(body)]
        for place in sorted(set(inside), reverse=True):
            leaf = leaf[:place] + SEPARATOR + leaf[place:]
        return leaf

    def _touches(self, body: str) -> bool:
        """Whether a text begins or ends with a part of a token, or goes on where a literal begins one."""
        sizes = range(1, min(len(body), self._longest) + 1)
        if any(body[-k:] in self._begins or body[:k] in self._ends for k in sizes):
            return True
        return any(rest.startswith(body) for rest in self._after)


def constants_of(template: ChatTemplate) -> set[str]:
    """All texts that a template's source spells."""
    tree = Parser(template.environment, template.source).parse()
    texts: set[str] = {node.data for node in tree.find_all(nodes.TemplateData)}
    return texts | {node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str)}


def leaves_of(conversation: Conversation, roles: frozenset[str]) -> list[str]:
    """All texts of a conversation, keys included, but its roles where they are known ones."""
    result: list[str] = []

    def note(leaf: str) -> str:
        result.append(leaf)
        return leaf

    mapped(conversation, note, roles)
    return result


def mapped(conversation: Conversation, change: Callable[[str], str], roles: frozenset[str]) -> Conversation:
    """The conversation with all its texts changed, but known roles and the names of a message's own keys."""
    messages = []
    for message in conversation.messages:
        role = message.get("role")
        known = isinstance(role, str) and role in roles
        messages.append(
            {
                key: value if key == "role" and known else _mapped(value, change)
                for key, value in message.items()
            }
        )
    return Conversation(messages, _mapped(conversation.tools, change))


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    if isinstance(value, dict):
        return {change(key): _mapped(item, change) for key, item in value.items()}
    return value


def _hint(tokens: Sequence[str]) -> re.Pattern[bytes]:
    """What a row's JSON, or its texts, have where contents hold a token, or begin or end with a part."""
    result = {rb"\\u00[2-7]"}
    for token in tokens:
        spelled = token.encode()
        first, last = re.escape(spelled[:1]), re.escape(spelled[-1:])
        result |= {re.escape(spelled[:2]), re.escape(spelled[-2:])}
        result |= {first + rb'\s*(?:\\[nrt]|\s)*"', rb'"(?:\\[nrt]|\s)*' + last}
        result |= {first + rb"\s*\Z", rb"\A\s*" + last}
    return re.compile(b"|".join(sorted(result)))
