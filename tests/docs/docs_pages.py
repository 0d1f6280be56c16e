"""The pages of the documentation and the code blocks in them.

A block that is run has `sh`, `console` or `python` behind its fence. What may follow:

no-run   not run here: it needs an index, a network, a GPU or a container engine
exit=N   the block's last command ends with exit code N
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), ROOT / "docker" / "README.md"]
RUNNABLE = ("sh", "console", "python")
FENCE = re.compile(r"^(?P<fence>`{3,})(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=fence)$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    options: tuple[str, ...]
    text: str

    @property
    def is_run(self) -> bool:
        return self.language in RUNNABLE and "no-run" not in self.options

    @property
    def exit_code(self) -> int:
        required = [option for option in self.options if option.startswith("exit=")]
        return int(required[0].removeprefix("exit=")) if required else 0

    @property
    def where(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text()
    result = []
    for match in FENCE.finditer(text):
        language, *options = match["info"].split() or [""]
        line = text.count("\n", 0, match.start()) + 1
        result.append(Block(page, line, language, tuple(options), match["body"]))
    return result


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", page.read_text())
