"""The commands of `python -m benchmarks`."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import baseline as earlier
from benchmarks import compare as comparison
from benchmarks import gates as gate_file
from benchmarks import history, machine, results
from benchmarks.case import Case
from benchmarks.cases import CASES
from benchmarks.inputs import SIZES, InputProblem, Inputs
from benchmarks.measure import run_case
from benchmarks.report import OURS, show, write_page
from benchmarks.results import Results
from forge_gpu import __version__

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help=__doc__)
console = Console(width=None if os.isatty(1) else 130)
progress = Console(stderr=True)


@app.command("list")
def list_cases() -> None:
    """The cases and who takes part."""
    table = Table("case", "what is done", "who")
    for case in CASES:
        table.add_row(case.name, case.about, ", ".join(contender.name for contender in case.cast))
    console.print(table)


@app.command()
def run(
    names: Annotated[list[str] | None, typer.Argument(help="Cases to run; all if none is named.")] = None,
    size: Annotated[str, typer.Option(help=f"One of {', '.join(SIZES)}.")] = "small",
    json: Annotated[Path | None, typer.Option(help="Write all figures to this file.")] = None,
    page: Annotated[
        Path | None,
        typer.Option(help="Write a Markdown page to this file, and its picture into `pictures/` beside it."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the figures as those of this version.")] = False,
    input: Annotated[
        Path | None, typer.Option(help="A real flat JSONL file instead of generated rows.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Run only these contenders.")] = None,
) -> None:
    """Run cases and print their tables; exit 1 if a check failed."""
    cases = _cases(names)
    held = _measure(cases, Inputs(_size(size), input), _contenders(cases, only))
    if json is not None:
        results.save(held, json)
    if keep:
        history.save(history.of(held, __version__))
    if page is not None:
        write_page(held, page)
        picture = page.parent / "pictures" / "speed.svg"
        picture.parent.mkdir(exist_ok=True)
        picture.write_text(history.picture(history.load(), gate_file.load()))
    for failure in held.failures:
        console.print(f"FAILED {failure}", markup=False)
    raise typer.Exit(1 if held.failures else 0)


@app.command()
def compare(old: Path, new: Path) -> None:
    """Say what got slower from OLD to NEW beyond noise; exit 1 if something of ours did."""
    try:
        changes = comparison.compare(results.load(old), results.load(new))
    except (OSError, ValueError) as problem:
        raise typer.BadParameter(str(problem)) from None
    table = Table("where", "who", "old s", "new s", "change", "noise", "")
    for change in changes:
        figures = (f"{change.old:.4f}", f"{change.new:.4f}", f"{change.change:.2f}×", f"{change.noise:.0%}")
        table.add_row(
            change.where, change.contender, *figures, change.verdict if change.verdict != "same" else ""
        )
    console.print(table)
    slower = [c for c in changes if c.verdict == "slower" and c.contender.startswith(OURS)]
    for change in slower:
        console.print(
            f"SLOWER {change.where}: {change.contender}: {change.change:.2f}× (noise {change.noise:.0%})",
            markup=False,
        )
    raise typer.Exit(1 if slower else 0)


@app.command()
def gates(
    names: Annotated[
        list[str] | None, typer.Argument(help="Cases to hold the gates of; all if none is named.")
    ] = None,
    size: Annotated[str, typer.Option(help=f"One of {', '.join(SIZES)}.")] = "gates",
    json: Annotated[Path | None, typer.Option(help="Write all figures to this file.")] = None,
) -> None:
    """Hold the ratios of gates.yaml; exit 1 and say which when one falls, twice."""
    of_cases = {case.name for case in _cases(names)}
    required = [gate for gate in gate_file.load() if gate.case in of_cases]
    if not required:
        raise typer.BadParameter(f"no gate is of {', '.join(names or ())}; see benchmarks/gates.yaml")
    cast = frozenset(name for gate in required for name in (gate.ours, gate.against))
    held = _measure(_cases(list(dict.fromkeys(gate.case for gate in required))), Inputs(_size(size)), cast)
    verdicts = gate_file.judge(required, held)
    again = {verdict.gate.case for verdict in verdicts if not verdict.holds and verdict.reached is not None}
    if again:
        # Another tenant of the machine can fell a gate once; a slower program fells it each time.
        console.print(f"Measured once more: {', '.join(sorted(again))}")
        second = _measure([case for case in CASES if case.name in again], Inputs(size), cast)
        held = replace(held, cases=[case for case in held.cases if case.name not in again] + second.cases)
        verdicts = gate_file.judge(required, held)
    if json is not None:
        results.save(held, json)
    for verdict in verdicts:
        console.print(f"{'holds ' if verdict.holds else 'FELL  '} {verdict}", markup=False)
    for failure in held.failures:
        console.print(f"FAILED {failure}", markup=False)
    raise typer.Exit(0 if all(v.holds for v in verdicts) and not held.failures else 1)


@app.command()
def baseline(
    commit: Annotated[str, typer.Option(help="Compare with this commit.")] = earlier.named_commit(),
) -> None:
    """Compare the user time of a few cases with an earlier commit; exit 1 when one is slower, twice."""
    try:
        with earlier.checkout_of(commit) as tree, progress.status("") as status:
            compared = {held.where: held for held in earlier.compare(CASES, tree, status.update)}
            again = frozenset(where for where, held in compared.items() if held.is_slower)
            if again:
                console.print(f"Measured once more: {', '.join(sorted(again))}", markup=False)
                second = earlier.compare(CASES, tree, status.update, again)
                compared |= {held.where: held for held in second}
    except earlier.NoBaseline as problem:
        # A copy without its history has nothing to compare with; whoever changes the code has a clone.
        console.print(f"not compared: {problem}", markup=False)
        return
    for held in compared.values():
        console.print(str(held), markup=False)
    raise typer.Exit(1 if any(held.is_slower for held in compared.values()) else 0)


def _cases(names: list[str] | None) -> list[Case]:
    known = {case.name: case for case in CASES}
    for name in names or ():
        if name not in known:
            raise typer.BadParameter(f"no case {name!r}; there are {', '.join(known)}")
    return [known[name] for name in names] if names else list(CASES)


def _size(size: str) -> str:
    if size not in SIZES:
        raise typer.BadParameter(f"no size {size!r}; there are {', '.join(SIZES)}")
    return size


def _contenders(cases: list[Case], only: list[str] | None) -> frozenset[str] | None:
    there = dict.fromkeys(contender.name for case in cases for contender in case.cast)
    for name in only or ():
        if name not in there:
            raise typer.BadParameter(f"no contender {name!r}; there are {', '.join(there)}")
    return frozenset(only) if only else None


def _measure(cases: list[Case], inputs: Inputs, only: frozenset[str] | None) -> Results:
    held = Results(inputs.size, machine.now(), machine.describe())
    with progress.status("") as status:
        for case in cases:
            try:
                result = run_case(case, inputs, lambda line: status.update(line), only)
            except InputProblem as problem:
                raise typer.BadParameter(str(problem)) from None
            held.cases.append(result)
            show(result, console)
    held.machine["load_after"] = round(os.getloadavg()[0], 2)
    return held
