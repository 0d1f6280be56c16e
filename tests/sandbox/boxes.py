"""Sandboxes for the tests: each set of layers by name, and a script run over rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from forge_gpu.sandbox.contract import Script
from forge_gpu.sandbox.layers import Layers, read_layers
from forge_gpu.sandbox.sandbox import Bounds, Sandbox
from forge_gpu.sandbox.transform import Transformed, run

WALLS = ("bubblewrap", "landlock", "filter")


def layers(wall: str) -> Layers:
    """The filter and, by the name of the outermost: bubblewrap and Landlock, Landlock, nothing."""
    here = read_layers()
    if wall == "bubblewrap":
        assert here.bubblewrap, "the tests need bubblewrap: apt-get install bubblewrap"
        return here
    assert wall == "filter" or here.landlock, "the tests need a kernel with Landlock"
    return replace(here, bubblewrap=None, landlock=0 if wall == "filter" else here.landlock)


def transformed(
    text: str, rows: Sequence[Any], wall: str = "filter", bounds: Bounds | None = None
) -> list[Any]:
    """For each row: the list of rows that came of it, or the reason why it was rejected."""
    with Sandbox(Script("script.py", text), bounds or Bounds(), layers(wall)) as sandbox:
        return results(run(sandbox, [json.dumps(row).encode() for row in rows]))


def results(made: Transformed) -> list[Any]:
    lines, reasons = iter(made.lines.split(b"\n") if made.lines else ()), iter(made.reasons)
    return [
        next(reasons) if count < 0 else [json.loads(next(lines)) for _ in range(count)]
        for count in made.counts
    ]
