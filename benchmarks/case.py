"""What a case is: a piece of work, those who do it, the inputs it is done on, and how it is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.inputs import Inputs


class CheckFailed(Exception):
    """What a contender made is not what the work asks for."""


@dataclass(frozen=True)
class Point:
    """One input of a case. input: the file. label: what sets it apart from the case's other points.

    arguments: the task's, beside `input`. cores: how many the contenders may use.
    """

    input: Path
    rows: int
    label: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    cores: int = 1


Check = Callable[[Any, Point, Path], dict[str, float]]
"""(result of a run, point, the contender's folder) -> figures to show; raises CheckFailed."""


@dataclass(frozen=True)
class Case:
    """name: on the command line. about: one line. task: the function that a contender's module must have.

    cast: who takes part. writes: the task gets a folder to write into.
    points: the inputs, from what the size gives. on_disk: what is written goes to the disk, not to memory.
    rounds: measured runs of each contender; budget: seconds for them, beyond which a slow contender gets
    fewer, but one.
    """

    name: str
    about: str
    task: str
    cast: tuple[Contender, ...]
    points: Callable[[Inputs], list[Point]]
    check: Check
    writes: bool = False
    on_disk: bool = False
    rounds: int = 5
    budget: float = 30.0
