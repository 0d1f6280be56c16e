"""A transform script tried on rows in the sandbox: what it makes of them, and whether it makes it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from forge_gpu.config.schema import Config
from forge_gpu.errors import InputError
from forge_gpu.io.dialects import Dialect
from forge_gpu.io.inputs import resolve
from forge_gpu.plain import frozen
from forge_gpu.planner.sample import sample
from forge_gpu.sandbox.contract import Script
from forge_gpu.sandbox.layers import SandboxError
from forge_gpu.sandbox.sandbox import Bounds, Sandbox
from forge_gpu.sandbox.transform import ODD_ROWS, Transformed, run
from forge_gpu.scripts.lint import lint
from forge_gpu.scripts.own_tests import OwnTest, own_tests

Row = dict[str, Any]


@frozen
class Outcome:
    """A row, and what came of it: rows, or why it was rejected."""

    row: Row
    made: list[Row] | str

    @property
    def kind(self) -> str:
        if isinstance(self.made, str):
            return "rejected"
        if self.made == [self.row]:
            return "as it was"
        return ("dropped", "changed")[len(self.made)] if len(self.made) < 2 else "made several"


@frozen
class Trial:
    """faults: why the script is not to be used; empty where it is. public: the same, without a word of a row.
    outcomes: of the rows, in their order."""

    script: Script
    faults: Sequence[str]
    public: Sequence[str]
    outcomes: Sequence[Outcome]

    @property
    def counts(self) -> Counter[str]:
        return Counter(outcome.kind for outcome in self.outcomes)


def rows_of(config: Config, base: Path, number: int) -> list[Row]:
    """The first records that plan would look at, of all inputs. Raises InputError."""
    rows: list[Row] = []
    data = config.data
    for file in resolve(data.inputs, base):
        rows += sample(file, data.format, data.encoding, Dialect.of(data.dialect)).records
        if len(rows) >= number:
            break
    if not rows:
        raise InputError("there are no rows to try the script on; name some data, or a plan with some")
    return rows[:number]


def try_script(script: Script, rows: Sequence[Row], bounds: Bounds | None = None) -> Trial:
    """Lint a script; where it has no faults, run it over the rows twice, the second time in reverse order in
    another process, and over those of its own tests."""
    faults_of_lines = lint(script.text)
    tests, misspelled = ([], faults_of_lines) if faults_of_lines else own_tests(script.text)
    lines_at_fault = [f"{script.path}:{line}: {message}" for line, message in misspelled]
    if lines_at_fault:
        return Trial(script, lines_at_fault, lines_at_fault, ())
    lines = [orjson.dumps(row) for row in rows]
    public = "its top level fails"
    try:
        with Sandbox(script, bounds) as sandbox:
            public = "its process fails on rows: it ends, takes too long, or too much memory"
            first = _outcomes(rows, run(sandbox, lines))
            by_batch = sandbox.takes_batches
            failed = _failed_tests(tests, run(sandbox, [orjson.dumps(test.row) for test in tests]))
        with Sandbox(script, bounds, by_row=True) as sandbox:
            second = _outcomes(rows[::-1], run(sandbox, lines[::-1], batch_rows=ODD_ROWS))[::-1]
            both = by_batch and not sandbox.takes_batches
    except SandboxError as fault:
        return Trial(script, [str(fault)], [f"{script.path}: {public}"], ())
    faults = failed or _faults(first, second, both)
    return Trial(
        script,
        [f"{script.path}: {messages}{quoted}" for messages, quoted in faults],
        [f"{script.path}: {messages}" for messages, _ in faults],
        first,
    )


def _failed_tests(tests: Sequence[OwnTest], made: Transformed) -> list[tuple[str, str]]:
    """The tests of the script that fail. They quote no row of the data."""
    outcomes = _outcomes([test.row for test in tests], made)
    return [
        (f"its test in line {test.line} fails: it makes {_short(outcome.made)}", "")
        for test, outcome in zip(tests, outcomes, strict=True)
        if test.fault(outcome.made)
    ]


def _faults(first: Sequence[Outcome], second: Sequence[Outcome], both: bool) -> list[tuple[str, str]]:
    """What is wrong, and the end of that which quotes rows. both: the first went through `transform_batch`,
    the second through `transform`, which may give other reasons."""
    for number, (one, other) in enumerate(zip(first, second, strict=True), 1):
        if one.made != other.made and not (both and one.kind == other.kind == "rejected"):
            message = f"row {number} becomes something else when the rows come in another order"
            if both:
                message = f"row {number} becomes something else by transform_batch than by transform"
            return [
                (
                    f"{message}; a result must depend on the row alone",
                    f": {_short(one.made)}, then {_short(other.made)}",
                )
            ]
    rejected = [outcome.made for outcome in first if isinstance(outcome.made, str)]
    if rejected and len(rejected) == len(first):
        return [("every row is rejected", f", the first with: {rejected[0]}")]
    return []


def _outcomes(rows: Sequence[Row], made: Transformed) -> list[Outcome]:
    return [
        Outcome(row, each if isinstance(each, str) else [orjson.loads(line) for line in each])
        for row, each in zip(rows, made.each(), strict=True)
    ]


def _short(made: object) -> str:
    text = made if isinstance(made, str) else orjson.dumps(made).decode()
    return text if len(text) <= 80 else text[:80] + "…"
