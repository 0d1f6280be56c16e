"""docs/gpu.md says where each of an engine's operations runs, and the code has it so."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from forge_gpu.engine.base import Engine
from forge_gpu.engine.gpu.engine import GpuEngine

PAGE = (Path(__file__).parents[2] / "docs" / "gpu.md").read_text(encoding="utf-8")
OF_MEMORY = {"name", "keep", "own", "release_result", "memory", "pin", "hold", "held", "take_up"}
"""Of an engine's methods, those that do nothing to rows."""


def table() -> dict[str, str]:
    """Where the table has an engine's methods run."""
    rows = re.findall(r"^\| ([^|]+) \| (device|host) \| [^|]+ \|$", PAGE, re.MULTILINE)
    return {method: where for operation, where in rows for method in re.findall(r"`(\w+)`", operation)}


def where(method: str) -> str:
    """By the code: work on a device is done while the device is entered."""
    source = inspect.getsource(getattr(GpuEngine, method))
    return "device" if "with self._device" in source else "host"


def test_the_table_of_operations_is_true_of_the_code() -> None:
    methods = {name for name in vars(Engine) if not name.startswith("_")} - OF_MEMORY
    assert table() == {method: where(method) for method in methods}
