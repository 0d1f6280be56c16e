"""Each room says what belongs in it, so that a newcomer knows where a thing goes."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = sorted(path.parent for path in (ROOT / "forge_gpu").glob("*/__init__.py"))


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_a_room_says_what_belongs_in_it(room: Path) -> None:
    text = ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""
    assert len(text.splitlines()) >= 3


def test_the_architecture_names_every_room_and_no_other() -> None:
    page = (ROOT / "docs/architecture.md").read_text().split("## Rooms")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in page.splitlines() if line[:1] == "|"]
    named = {name for cell in cells for name in re.findall(r"`(\w+)/`", cell)}
    assert named == {room.name for room in ROOMS}
