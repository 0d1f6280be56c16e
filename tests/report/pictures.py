"""Makes the pictures of docs/report.md from real runs on examples/: `python -m tests.report.pictures`."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

import forge_gpu
from forge_gpu.config.schema import Config
from forge_gpu.report.live.note import read_live
from tests.report.live import FILES, ONE_BY_ONE, Held, watching
from tests.report.pages import Browser

View = tuple[int, int, bool]
"""Width, height, whether it is dark."""

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"
FORGE = [sys.executable, "-c", "from forge_gpu.cli.app import main; main()"]
VIEWS: dict[str, View] = {
    "report-wide-light.webp": (1100, 1180, False),
    "report-narrow-light.webp": (500, 1500, False),
    "report-narrow-dark.webp": (500, 1500, True),
}
LIVE: dict[str, View] = {
    "live-wide-light.webp": (1100, 1180, False),
    "live-narrow-light.webp": (500, 1500, False),
    "live-narrow-dark.webp": (500, 1500, True),
}
NEAR = "preprocessing.dedup.near.threshold=0.7"


def forge(folder: Path, *arguments: str) -> str:
    done = subprocess.run([*FORGE, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with TemporaryDirectory() as name, Browser(Path(name) / "profile") as browser:
        folder = Path(name)
        shutil.copytree(ROOT / "examples", folder / "examples")
        plan = ["plan", "support assistant", "--data", "examples/support.jsonl", "--template", "chatml"]
        forge(folder, *plan)
        terminal(forge(folder, "prepare"), PICTURES / "terminal.svg")  # the README's two commands
        forge(folder, *plan, "--set", NEAR)
        forge(folder, "prepare")
        for file, view in VIEWS.items():
            page = browser.open((folder / "prepared" / "report.html").as_uri(), *view)
            page.wait_for("How it ran")
            time.sleep(1)
            page.picture(PICTURES / file)
        (folder / "live").mkdir()
        live(folder / "live", browser)


def live(folder: Path, browser: Browser) -> None:
    """The live page while the example, cut into a dozen files, is written."""
    rows = (ROOT / "examples" / "support.jsonl").read_bytes().splitlines(keepends=True)
    share = -(-len(rows) // FILES)
    files = [folder / f"support-{number:02}.jsonl" for number in range(FILES)]
    for number, file in enumerate(files):
        file.write_bytes(b"".join(rows[number * share : (number + 1) * share]))
    plan = forge_gpu.plan("support assistant", data=files, template="chatml", settings=[NEAR])
    settings = plan.config.preprocessing.model_dump() | ONE_BY_ONE
    config = Config.model_validate(plan.config.model_dump() | {"preprocessing": settings})
    job = Held(folder, config)
    with watching(folder) as server:
        job.start(steps=8)
        while read_live(folder / "prepared") is None:
            time.sleep(0.2)
        for steps in range(2 * FILES + 8, 200):
            job.allow(steps)
            time.sleep(1)
            noted = read_live(folder / "prepared")
            if noted is not None and noted["stages"][-1]["stage"] == "write" and noted["fates"].get("train"):
                break
        job.allow(steps + 3)
        time.sleep(3)
        for picture, view in LIVE.items():
            page = browser.open(server.url, *view)
            page.wait_for("Rejected")
            time.sleep(1)
            page.picture(PICTURES / picture)
        job.kill()


def terminal(shown: str, file: Path) -> None:
    """What a command has printed, as a picture of a terminal."""
    console = Console(record=True, width=100, file=io.StringIO())
    console.print(Text("$ forge prepare", style="bold"))
    console.print(Text(shown.rstrip()))
    console.save_svg(str(file), title="forge prepare")


if __name__ == "__main__":
    main()
