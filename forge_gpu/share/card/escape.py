"""Texts from elsewhere in Markdown: shown, and never obeyed."""

from __future__ import annotations

import re

MOST = 200
"""Characters of a text that are shown."""


def code(text: object) -> str:
    """A text between backticks that nothing in it ends; control characters, lines' ends among them, are shown
    as a mark, and what is long is cut."""
    shown = str(text)
    if len(shown) > MOST:
        shown = shown[:MOST] + "\N{HORIZONTAL ELLIPSIS}"
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    pad = " " if not shown or shown[0] in "` " or shown[-1] in "` " else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def cell(text: object) -> str:
    """The same in a table, whose columns a bar would end."""
    return code(text).replace("|", "\\|")
