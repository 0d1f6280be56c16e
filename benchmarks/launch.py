"""Whole commands as contenders: what a user waits for, imports and all, from the first byte to the last.

Runs in a small process of its own (see command.spawn), so that the peak memory of a command is its own.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.command import Measured, spawn, spawn_and_kill
from benchmarks.contenders import THREAD_SETTINGS, python_of
from benchmarks.work import output_paths

FORGE = str(Path(sys.executable).with_name("forge"))


def start(input: str, argv: list[str]) -> Callable[[], Any]:
    """A command that needs no input; `python` and `forge` are those of this environment."""
    command = [{"python": sys.executable, "forge": FORGE}.get(argv[0], argv[0]), *argv[1:]]
    return lambda: spawn(command)


def whole_job(input: str, folder: str, module: str, task: str = "whole_job") -> Callable[[], Any]:
    """A process that imports a peer, does its whole job once and ends, as a user's script would."""
    output_paths(folder)
    request = json.dumps({"input": input, "folder": folder})
    settings = dict.fromkeys(THREAD_SETTINGS, str(len(os.sched_getaffinity(0))))
    return lambda: spawn(
        [str(python_of("peers")), "-m", "benchmarks.script", module, task, request], settings
    )


def prepare(input: str, folder: str, plan: str) -> Callable[[], Measured]:
    """`forge prepare` with one of benchmarks/plans, its output folder made anew each time."""

    def work() -> Measured:
        shutil.rmtree(folder, ignore_errors=True)
        return spawn(_command(input, folder, plan))

    return work


def first_prepare(input: str, folder: str, plan: str) -> Callable[[], Any]:
    """The same with an empty kernel cache."""

    def work() -> Measured:
        shutil.rmtree(folder, ignore_errors=True)
        with tempfile.TemporaryDirectory() as cache:
            return spawn(_command(input, folder, plan), {"FORGE_CACHE_DIR": cache})

    return work


def resumed(input: str, folder: str, plan: str) -> Callable[[], Any]:
    """The same, killed after half the time that it takes, and run again to its end."""
    uninterrupted = prepare(input, folder, plan)
    uninterrupted()  # fills the caches, so that the next one tells how long it takes
    half = uninterrupted().seconds / 2

    def work() -> Measured:
        shutil.rmtree(folder, ignore_errors=True)
        lost = spawn_and_kill(_command(input, folder, plan), half)
        rest = spawn(_command(input, folder, plan))
        return Measured(lost.seconds + rest.seconds, lost.cpu + rest.cpu, max(lost.peak, rest.peak))

    return work


def _command(input: str, folder: str, plan: str) -> list[str]:
    config = Path(__file__).parent / "plans" / f"{plan}.yaml"
    return [FORGE, "prepare", input, "--config", str(config), "--output", folder, "--quiet"]
