"""`forge plan`."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from forge_gpu.planner.plan import Plan


def plan(
    goal: Annotated[
        str | None, typer.Argument(help="What the model is to become.", show_default=False)
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="PATH", help="A file, folder, glob, @list or URL; may be repeated."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME|DIR", help="The model's folder, or its name.")
    ] = None,
    template: Annotated[
        str | None,
        typer.Option("--template", metavar="NAME|FILE", help="A built-in, a file, or a text with {column}s."),
    ] = None,
    engine: Annotated[
        str | None, typer.Option("--engine", metavar="auto|cpu|gpu", help="What does the work.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the plan; may be repeated."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Plan though most of the rows looked at would be rejected.")
    ] = False,
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="Where to write.")] = Path(
        "forge.yaml"
    ),
) -> None:
    """Look at machine, data and goal, and write forge.yaml.

    A different plan that already exists is kept beside it as a backup.

    \b
    Examples:
      forge plan "support assistant" --data raw --model ./my-model
      forge plan "support assistant"
      forge plan --data a.jsonl --data b.parquet --template chatml --set preprocessing.seed=7
    """
    from forge_gpu.cli.sections import show
    from forge_gpu.io.disk import output_fault
    from forge_gpu.planner.describe import describe
    from forge_gpu.planner.plan import make_plan

    _require_writable(output)
    made = make_plan(
        goal,
        data=data or [],
        model=model,
        template=template,
        engine=engine,
        overrides=settings or [],
        folder=output.parent,
        force=force,
    )
    try:
        output.parent.mkdir(parents=True, exist_ok=True)  # the plan's paths start from it: it must be there
    except OSError as error:
        raise output_fault(error, output) from error
    estimate = _estimate(made, output, force)
    try:
        backup = made.save(output)
    except OSError as error:
        raise output_fault(error, output) from error
    show([*describe(made), *estimate])
    backup_note = f"; the one that was there is now {backup}" if backup else ""
    print(f"wrote {output}{backup_note}")
    option = "" if output == Path("forge.yaml") else f" --config {output}"
    print(f"next: forge prepare{'' if made.data.files else ' PATH'}{option}")


LOOK = 1.0
"""Seconds that plan looks at the data for its estimate; `forge estimate` takes more, and is nearer."""


def _estimate(made: Plan, output: Path, force: bool) -> list[tuple[str, list[str]]]:
    """The short form of what `forge estimate` says; why there is none, where there is none. Raises
    OutputError where the job will not fit."""
    from forge_gpu.errors import ForgeError
    from forge_gpu.foretell.describe import short
    from forge_gpu.foretell.foretell import foretell, require_fit
    from forge_gpu.job.state.spec import JobSpec

    config = made.config
    if not made.data.files or (config.output.form == "tokens" and config.tokens.tokenizer is None):
        return []
    if config.data.transform.script is not None:
        return [("Estimate", ["none: 'forge estimate' runs the script of the plan over some rows"])]
    try:
        estimate = foretell(JobSpec(config, output.absolute().parent, Path("prepared")), LOOK)
    except ForgeError as fault:
        return [("Estimate", [f"none: {fault.public}"])]
    if not force:
        require_fit(estimate)
    return [("Estimate", short(estimate))]


def _require_writable(output: Path) -> None:
    """Raise OutputError where the plan cannot be written, before the data is looked at."""
    from forge_gpu.errors import OutputError
    from forge_gpu.io.disk import output_fault

    if output.is_dir():
        raise OutputError(f"{output}: is a folder; name the file to write, as {output / 'forge.yaml'}")
    there = next(folder for folder in output.absolute().parents if folder.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        raise output_fault(PermissionError(errno.EACCES, "Permission denied"), output)
