"""Titled lines on standard output: with colour and wrapping on a terminal, plain in a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

from forge_gpu.errors import printable


def show(sections: Iterable[tuple[str, Sequence[str]]]) -> None:
    """Print every line under its title, as it is: nothing in it is markup."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.padding import Padding
        from rich.text import Text

        console = Console()
        style = "" if os.environ.get("NO_COLOR") else "bold"
        for title, lines in sections:
            console.print(Text(title, style=style))
            for line in lines:
                console.print(Padding(Text(printable(line)), (0, 0, 0, 2), expand=False))
        return
    for title, lines in sections:
        print(title)
        for line in lines:
            print(f"  {printable(line)}")
