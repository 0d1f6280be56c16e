"""`forge transform`: check a transform script."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forge_gpu.cli.usage import Group, whole_number

if TYPE_CHECKING:
    from forge_gpu.config.schema import Config

app = typer.Typer(
    cls=Group,
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
)


@app.callback()
def transform() -> None:
    """Look at transform scripts, and try them in the sandbox."""


Data = Annotated[
    list[str] | None, typer.Argument(help="Data to try it on instead of the plan's.", show_default=False)
]
Plan = Annotated[Path, typer.Option("--config", metavar="FILE", help="The plan.")]


@app.command()
def check(
    script: Annotated[Path, typer.Argument(metavar="FILE", help="A Python file with `def transform(row)`.")],
    paths: Data = None,
    config: Plan = Path("forge.yaml"),
    rows: Annotated[
        int, typer.Option(metavar="N", parser=whole_number, help="Try it on so many rows.")
    ] = 200,
    examples: Annotated[
        int, typer.Option(metavar="N", parser=whole_number, help="Show so many rows of each outcome.")
    ] = 2,
) -> None:
    """Look for faults line by line, then run the script over real rows, twice, in the sandbox.

    Ends with 2 where it has a fault.
    """
    from forge_gpu.cli.sections import show
    from forge_gpu.sandbox.contract import read_script
    from forge_gpu.scripts.sections import about_trial
    from forge_gpu.scripts.trial import rows_of, try_script

    read = read_script(script)
    plan, base = _plan(config, paths)
    trial = try_script(read, rows_of(plan, base, rows))
    show(about_trial(trial, examples))
    if trial.faults:
        raise typer.Exit(2)


def _plan(config: Path, paths: list[str] | None) -> tuple[Config, Path]:
    """The plan and the folder its inputs start from; with data of its own a command needs no plan."""
    from forge_gpu.config.load import load
    from forge_gpu.config.schema import Config

    plan = load(config).config if config.exists() or not paths else Config()
    if not paths:
        return plan, config.absolute().parent
    return plan.model_copy(update={"data": plan.data.model_copy(update={"inputs": paths})}), Path.cwd()
