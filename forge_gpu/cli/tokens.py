"""`forge tokens`: what a row becomes for a trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from forge_gpu.cli.usage import group, whole_number
from forge_gpu.errors import printable

app = group("Show rows as tokens.")


@app.callback()
def tokens() -> None:
    """Show rows as tokens."""


@app.command()
def show(
    row: Annotated[
        int,
        typer.Argument(metavar="ROW", parser=whole_number, help="Its number, counted from 1 over all files."),
    ],
    paths: Annotated[
        list[str] | None, typer.Argument(help="Data to use instead of the plan's.", show_default=False)
    ] = None,
    config: Annotated[Path, typer.Option("--config", metavar="FILE", help="The plan.")] = Path("forge.yaml"),
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the plan.")
    ] = None,
) -> None:
    """Show the ids of one row as it is written, what each stands for, and with a + which are trained."""
    from forge_gpu.engine.cpu.engine import CpuEngine
    from forge_gpu.library import job_spec
    from forge_gpu.planner.token_trial import try_tokens

    spec, warnings, _ = job_spec(config, paths or None, ".", settings or (), None, False, False, None)
    for warning in warnings:
        typer.echo(f"warning: {getattr(warning, 'message', warning)}", err=True)
    shown = try_tokens(spec, CpuEngine(), row)
    if isinstance(shown, str):
        typer.echo(f"row {row} is refused: {printable(shown)}")
        return
    for number, token in enumerate(shown.tokens):
        if shown.most is not None and number and number % shown.most == 0:
            typer.echo(f"--- piece {number // shown.most + 1}")
        line = f"{'+' if token.is_trained else ' '} {token.id:>8}  {printable(repr(token.text))}"
        colour = typer.colors.GREEN if token.is_trained else None
        typer.echo(typer.style(line, fg=colour, bold=token.is_added))
    trained = sum(token.is_trained for token in shown.tokens)
    typer.echo(f"{len(shown.tokens):,} tokens, {trained:,} of them trained")
    if shown.cut_tokens:
        left_out = f" with {shown.cut_messages:,} messages" if shown.cut_messages else ""
        typer.echo(f"{shown.cut_tokens:,} tokens were cut off{left_out}")
    if shown.control_text:
        typer.echo(f"{shown.control_text:,} control tokens that its contents spell")
