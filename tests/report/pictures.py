"""Makes the pictures of docs/report.md from a real run on examples/: `python -m tests.report.pictures`."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

from tests.report.browser import options

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"
FORGE = [sys.executable, "-c", "from forge_gpu.cli.app import main; main()"]
VIEWS = {
    "report-wide-light.png": {"width": 1100, "height": 1180, "dark": False},
    "report-wide-dark.png": {"width": 1100, "height": 1180, "dark": True},
    "report-narrow-light.png": {"width": 500, "height": 1500, "dark": False},
    "report-narrow-dark.png": {"width": 500, "height": 1500, "dark": True},
}
NEAR = "preprocessing.dedup.near.threshold=0.7"


def forge(folder: Path, *arguments: str) -> str:
    done = subprocess.run([*FORGE, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(ROOT / "examples", folder / "examples")
        data = ["--data", "examples/support.jsonl", "--set", NEAR]
        forge(folder, "plan", "support assistant", *data, "--template", "chatml")
        shown = forge(folder, "prepare")
        page = folder / "prepared" / "report.html"
        for file, view in VIEWS.items():
            picture(page, PICTURES / file, folder, **view)  # type: ignore[arg-type]
        terminal(shown, PICTURES / "terminal.svg")


def picture(page: Path, file: Path, folder: Path, width: int, height: int, dark: bool) -> None:
    command = options(folder / "profile", width=width, dark=dark)
    subprocess.run(
        [
            *command,
            f"--window-size={width},{height}",
            "--virtual-time-budget=4000",
            f"--screenshot={file}",
            page.as_uri(),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )


def terminal(shown: str, file: Path) -> None:
    """What a command has printed, as a picture of a terminal."""
    console = Console(record=True, width=100, file=io.StringIO())
    console.print(Text("$ forge prepare", style="bold"))
    console.print(Text(shown.rstrip()))
    console.save_svg(str(file), title="forge prepare")


if __name__ == "__main__":
    main()
