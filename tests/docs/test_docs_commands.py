"""Every command, console session and piece of Python in the documentation runs, and shows what it says.

The blocks of one page run in their order, in one folder of their own that has examples/ in it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.docs import docs_pages
from tests.docs.docs_pages import PAGES, ROOT, Block, blocks

MOST_NOT_RUN = 14
COMMAND = re.compile(r"^\s*(?:\$ )?(?:forge|pip|make|python3?)(?: [^\s[…]+)+$", re.MULTILINE)
"""A line that is a command, and not a list of commands with what each is for."""
OPTION = re.compile(r"no-run|exit=[0-9]+")


def with_runnable_blocks() -> list[Path]:
    return [page for page in PAGES if any(block.is_run for block in blocks(page))]


@pytest.mark.slow
@pytest.mark.parametrize("page", with_runnable_blocks(), ids=docs_pages.name_of)
def test_blocks_of_a_page_run(page, tmp_path):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for block in blocks(page):
        if block.is_run:
            {"sh": run_shell, "console": run_console, "python": run_python}[block.language](block, tmp_path)


def run_shell(block: Block, folder: Path) -> None:
    done = run(["bash", "-euo", "pipefail", "-c", block.text], folder)
    assert done.returncode == block.exit_code, f"{block.where}\n{done.stdout}{done.stderr}"


def run_python(block: Block, folder: Path) -> None:
    done = run([sys.executable, "-W", "error::SyntaxWarning", "-c", block.text], folder)
    assert done.returncode == block.exit_code, f"{block.where}\n{done.stdout}{done.stderr}"


def run_console(block: Block, folder: Path) -> None:
    """Each `$ command`, and after it what a reader sees: standard output, or the error of one that fails."""
    commands = sessions(block)
    for number, (command, shown) in enumerate(commands):
        required = block.exit_code if number == len(commands) - 1 else 0
        done = run(["bash", "-uo", "pipefail", "-c", command], folder)
        reported = f"{block.where}: {command}\n{done.stdout}{done.stderr}"
        assert done.returncode == required, reported
        seen = done.stdout + (error_of(done.stderr) if required else "")
        assert re.fullmatch(pattern(shown), seen), reported


def sessions(block: Block) -> list[tuple[str, str]]:
    """(command, what is shown after it)."""
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert parts[0] == "" and len(parts) > 1, f"{block.where}: a console block begins with '$ '"
    pairs = []
    for part in parts[1:]:
        command, _, shown = part.partition("\n")
        while command.endswith("\\"):
            more, _, shown = shown.partition("\n")
            command = command[:-1] + more
        pairs.append((command, shown))
    return pairs


def pattern(shown: str) -> str:
    """A regular expression for what is shown: `...` stands for any text within a line, or for whole lines."""
    lines = []
    for line in shown.splitlines(keepends=True):
        if line.strip() == "...":
            lines.append(r"(?:[^\n]*\n)*?")
        else:
            lines.append(r"[^\n]*".join(re.escape(piece) for piece in line.split("...")))
    return "".join(lines)


def error_of(text: str) -> str:
    """The error that ends a command: what stands before it on standard error is progress and warnings."""
    return text[text.rfind("\nerror: ") + 1 :]


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("FORGE_CONFIG__")}
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=300)


def test_the_pattern_of_what_is_shown():
    assert re.fullmatch(pattern("a ... b\n...\nend\n"), "a 1.5 b\nx\ny\nend\n")
    assert re.fullmatch(pattern("a\n...\n"), "a\n")
    assert not re.fullmatch(pattern("a ... b\n"), "a\nb\n")
    assert not re.fullmatch(pattern("5 rows\n"), "6 rows\n")


def test_few_blocks_are_not_run():
    left_out = [block for page in PAGES for block in blocks(page) if "no-run" in block.options]
    listed = "\n".join(f"{block.where}: {block.text.splitlines()[0]}" for block in left_out)
    assert len(left_out) <= MOST_NOT_RUN, listed


def test_fences_say_what_they_hold():
    for page in PAGES:
        for block in blocks(page):
            known = (*docs_pages.RUNNABLE, "text", "yaml", "json", "toml")
            assert block.language in known or not block.language, f"{block.where}: {block.language}"
            assert all(OPTION.fullmatch(option) for option in block.options), (
                f"{block.where}: {block.options}"
            )
            assert block.language or not COMMAND.search(block.text), f"{block.where}: a command"


def test_targets_and_extras_of_blocks_that_are_not_run_exist():
    makefile = (ROOT / "Makefile").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for page in PAGES:
        for block in blocks(page):
            if "no-run" not in block.options:
                continue
            for target in re.findall(r"^make ([a-z-]+)", block.text, re.MULTILINE):
                assert re.search(rf"^{target}:.*## ", makefile, re.MULTILINE), f"{block.where}: make {target}"
            for name, extras in re.findall(r"(forge-gpu|\.)\[([a-z0-9,]+)\]", block.text):
                unknown = set(extras.split(",")) - set(project["optional-dependencies"])
                assert not unknown, f"{block.where}: {name}[{extras}]"
