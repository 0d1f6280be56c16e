"""`forge`: finds the command, imports only it, and turns errors into one line and an exit code."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

COMMANDS = {  # name -> its help; forge_gpu.cli.<name> holds a function of that name, or a Typer `app`
    "plan": "Look at machine, data and goal, and write forge.yaml.",
    "prepare": "Run the plan.",
    "template": "Show and try chat templates.",
    "warm": "Compile all kernels and keep them for later runs.",
    "doctor": "Show what this machine has, and what the GPU path lacks.",
}


class Commands(TyperGroup):
    """Commands that are imported when they are used: help needs only the table above."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for name in COMMANDS if find_spec(f"forge_gpu.cli.{name}") is not None]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = import_module(f"forge_gpu.cli.{cmd_name}")
        group = getattr(module, "app", None)
        if group is None:
            group = typer.Typer(rich_markup_mode=None, add_completion=False)
            group.command()(getattr(module, cmd_name))
        command = typer.main.get_command(group)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])


app = typer.Typer(
    cls=Commands,
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from forge_gpu import __version__

        typer.echo(f"forge-gpu {__version__}")
        raise typer.Exit


@app.callback()
def forge(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Prepare data for fine-tuning language models, at the speed of the hardware."""


def main() -> None:
    """Entry point. --debug may stand anywhere before a `--`."""
    # Arrow's own pools keep what they once took; a run's memory is to be what it needs.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    arguments = sys.argv[1:]
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    debug = "--debug" in options
    rest = [argument for argument in options if argument != "--debug"] + arguments[len(options) :]
    sys.exit(_run(rest, debug))


def _run(arguments: list[str], debug: bool) -> int:
    from forge_gpu.errors import ForgeError

    try:
        app(arguments, prog_name="forge")
    except ForgeError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read the output has gone
        sys.stderr.close()
        return 141
    except Exception as error:
        if debug:
            raise
        told = " ".join(f"{type(error).__name__}: {error}".split())
        print(
            f"error: a fault of Forge: {told}; run again with --debug and report what it shows",
            file=sys.stderr,
        )
        return 70
    return 0
