"""What few rows of conversations cost a frame engine, beside bare Jinja: `python -m benchmarks.few_rows`.

Forge and Jinja take turns, call by call, on the same frame, after two calls each that are not counted;
medians are told, in milliseconds a call. Jinja renders a list in a loop, and a pandas frame by `Series.map`,
as people do. Prints a Markdown table.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import pyarrow as pa
from jinja2.sandbox import ImmutableSandboxedEnvironment

import forge_gpu

TEMPLATES = Path(__file__).parent / "templates"
NAMES = ("chatml", "qwen25")
SIZES = (1, 4, 8, 16, 32, 64, 128, 256)
CALLS = 200


def conversation(number: int) -> list[dict[str, str]]:
    return [
        {"role": "system", "content": "You answer customers of a shop."},
        {"role": "user", "content": f"Where is order {number}? " * 3},
        {"role": "assistant", "content": f"It is on its way, number {number}. " * 5},
    ]


def medians(calls: list[Callable[[], Any]]) -> list[float]:
    """Milliseconds of each, taking turns."""
    times: list[list[float]] = [[] for _ in calls]
    for number in range(CALLS + 2):
        for call, taken in zip(calls, times, strict=True):
            began = time.perf_counter()
            call()
            if number > 1:
                taken.append(1e3 * (time.perf_counter() - began))
    return [median(taken) for taken in times]


def row(engine: Any, name: str, size: int) -> str:
    path = TEMPLATES / f"{name}.jinja"
    bare = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(path.read_text())
    records = [{"messages": conversation(number)} for number in range(size)]
    pandas, arrow = pd.DataFrame(records), pa.Table.from_pylist(records)

    def rendered(frame: Any) -> Callable[[], Any]:
        return lambda: engine.render(frame, path, mapping={"messages": "messages"})

    def of_one(messages: Any) -> str:
        return bare.render(messages=messages)

    calls: list[Callable[[], Any]] = [
        lambda: [of_one(record["messages"]) for record in records],
        lambda: pandas["messages"].map(of_one),
        *map(rendered, (records, pandas, arrow)),
    ]
    return " | ".join([f"| {name}, {size}", *(f"{taken:.3f}" for taken in medians(calls))]) + " |"


def main() -> None:
    print("| rows | Jinja, list | Jinja, pandas | forge, list | forge, pandas | forge, Arrow |")
    print("|---|---:|---:|---:|---:|---:|")
    with forge_gpu.open_engine("cpu") as engine:
        for name in NAMES:
            for size in SIZES:
                print(row(engine, name, size))


if __name__ == "__main__":
    main()
