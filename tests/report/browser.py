"""A browser without a window, for the tests of pages: Debian's chromium."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REQUIRED = os.environ.get("FORGE_REQUIRE_CHROMIUM") == "1"


def chromium() -> str:
    """Its path. Without it the test is skipped, or fails where FORGE_REQUIRE_CHROMIUM is 1."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        (pytest.fail if REQUIRED else pytest.skip)("chromium is not installed: apt-get install chromium")
    return path


def options(profile: Path, *, width: int = 1100, dark: bool = False) -> list[str]:
    """What a run of it is given, before the address. profile: a folder of its own."""
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    return [
        chromium(),
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--no-first-run",
        "--disable-background-networking",
        "--enable-logging=stderr",
        f"--user-data-dir={profile}",
        f"--window-size={width},2000",
        *scheme,
    ]


def dom_of(url: str, profile: Path, milliseconds: int = 4000, **shown: int | bool) -> tuple[str, list[str]]:
    """The document after its scripts ran for so long, and what the console said."""
    command = [*options(profile, **shown), f"--virtual-time-budget={milliseconds}", "--dump-dom", url]  # type: ignore[arg-type]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    console = [line for line in done.stderr.splitlines() if ":CONSOLE:" in line]
    return done.stdout, [line for line in console if "ResizeObserver loop" not in line]
