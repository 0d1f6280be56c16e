"""How time grows with what a job has many of: each is doubled, and the exponent taken of the seconds."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, cast

from benchmarks.limits.memory import job_process, send

MOST = 1.15
"""An exponent above this is no noise of a linear job."""
ROUNDS = 3
FEW = 4
"""How many there are of something in the job that loads libraries and kernels."""


@dataclass(frozen=True)
class Grown:
    """name: what there are many of. make: writes inputs with so many into a folder, and gives the sections of
    a plan beside the usual ones. least: how many are compared with twice as many."""

    name: str
    make: Callable[[Path, int], dict[str, Any]]
    least: int


def _flat(path: Path, count: int, **more: Callable[[int], str]) -> dict[str, Any]:
    with path.open("w") as file:
        for i in range(count):
            row = {"q": f"question {i}", "a": f"answer {i} of it"}
            file.write(json.dumps(row | {name: make(i) for name, make in more.items()}) + "\n")
    return {"data": {"inputs": [str(path)]}}


def rows(folder: Path, count: int) -> dict[str, Any]:
    return _flat(folder / "rows.jsonl", count)


def columns(folder: Path, count: int) -> dict[str, Any]:
    path = folder / "wide.csv"
    with path.open("w") as file:
        file.write("q,a," + ",".join(f"c{i}" for i in range(count)) + "\n")
        for row in range(300):
            file.write(f"q{row},a{row}" + ",x" * count + "\n")
    return {"data": {"inputs": [str(path)]}}


def bucket(folder: Path, count: int) -> dict[str, Any]:
    words = [f"word{i}" for i in range(60)]
    path = folder / "near.jsonl"
    with path.open("w") as file:
        for i in range(count):
            query = " ".join([*words[: i % 60], f"x{i}", *words[i % 60 + 1 :]])
            file.write(json.dumps({"q": query, "a": "yes"}) + "\n")
    return {"data": {"inputs": [str(path)]}, "preprocessing": {"dedup": {"near": {}}}}


def strata(folder: Path, count: int) -> dict[str, Any]:
    plan = _flat(folder / "strata.jsonl", 2 * count, s=lambda i: f"stratum {i // 2}")
    return plan | {"preprocessing": {"split": {"stratify": "s"}}}


def groups(folder: Path, count: int) -> dict[str, Any]:
    plan = _flat(folder / "groups.jsonl", 2 * count, g=lambda i: f"group {i // 2}")
    return plan | {"preprocessing": {"split": {"group": "g"}}}


def files(folder: Path, count: int) -> dict[str, Any]:
    for i in range(count):
        (folder / f"{i:06d}.jsonl").write_text(json.dumps({"q": f"question {i}", "a": f"answer {i}"}) + "\n")
    return {"data": {"inputs": [str(folder)]}}


def programs(folder: Path, count: int) -> dict[str, Any]:
    """Conversations each of a number of turns of its own: a program each."""
    path = folder / "programs.jsonl"
    with path.open("w") as file:
        for i in range(count):
            turns = [("user", "assistant")[int(b)] for b in f"{i:b}"] + ["assistant"]
            messages = [{"role": role, "content": f"text {i}"} for role in turns]
            file.write(json.dumps({"messages": messages}) + "\n")
    mapping = {"shape": "conversation", "messages": "messages"}
    return {"data": {"inputs": [str(path)], "mapping": mapping}}


GROWN = (
    Grown("rows", rows, 100_000),
    Grown("columns", columns, 100_000),
    Grown("members of a bucket of near-duplicates", bucket, 40_000),
    Grown("strata", strata, 50_000),
    Grown("groups", groups, 50_000),
    Grown("files", files, 1_000),
    Grown("programs", programs, 2_000),
)


def seconds(case: Grown, folder: Path) -> list[float]:
    """Those of the processor that `least` take, and twice as many, each the least of a few runs in a process
    that has run a small one: on a machine that is shared the clock's would say more of others than of the
    job."""
    plans = [_plan(case, folder, count) for count in (FEW, case.least, 2 * case.least)]
    with job_process(folder, plans[0]) as (process, _):
        sender, answers = cast(TextIO, process.stdin), cast(TextIO, process.stdout)
        return [min(_cpu(sender, answers, plan) for _ in range(ROUNDS)) for plan in plans[1:]]


def _cpu(sender: TextIO, answers: TextIO, plan: dict[str, Any]) -> float:
    send(sender, {"plan": plan})
    answer = json.loads(answers.readline())
    assert answer["end"] == "done", answer
    return float(answer["cpu"])


def exponent(of: float, twice: float) -> float:
    return math.log2(twice / of)


def _plan(case: Grown, folder: Path, count: int) -> dict[str, Any]:
    inputs = folder / str(count)
    inputs.mkdir(parents=True)
    plan: dict[str, Any] = {
        "version": 1,
        "data": {"mapping": {"shape": "flat", "query": "q", "response": "a"}},
        "model": {"chat_template": "chatml", "template_kind": "builtin"},
        "preprocessing": {"memory": {"threads": 1}},
    }
    for name, values in case.make(inputs, count).items():
        plan[name] = plan[name] | values
    return plan
