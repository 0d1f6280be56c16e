"""`forge`: finds the command, imports only it, and turns errors into one line and an exit code."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from traceback import print_exception
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TextIO, cast

import typer

from forge_gpu.cli import usage
from forge_gpu.errors import ForgeError, exit_code_of, printable
from forge_gpu.hardware.unused import give_back_large

if TYPE_CHECKING:
    from forge_gpu.report.debug import Bundle

COMMANDS = {  # name -> its help; forge_gpu.cli.<name> holds a function of that name, or a Typer `app`
    "plan": "Look at machine, data and goal, and write forge.yaml.",
    "estimate": "Say what the plan will take: time, memory, disk, tokens.",
    "tune": "Choose lengths, thresholds, weights and threads by measuring.",
    "prepare": "Run the plan.",
    "check": "Look at all of the data and say what is amiss.",
    "verify": "Derive every count and hash of a prepared folder anew.",
    "card": "Write the README of a prepared folder, for people and the hub.",
    "push": "Put a prepared folder on the hub.",
    "repack": "Pack the rows of a prepared folder of tokens anew.",
    "mix": "Make a mixture of prepared folders of tokens.",
    "diff": "Say what differs between two prepared folders.",
    "script": "Write the plan as one Python file that makes the same bytes.",
    "report": "Make the page that shows what became of the data.",
    "watch": "Show what jobs are at on a live page.",
    "history": "List the runs on this machine.",
    "template": "List, show and try chat templates.",
    "tokens": "Show rows as the tokens of a plan.",
    "image": "Build and show the images that jobs run in.",
    "transform": "Check other people's Python over rows, in a sandbox.",
    "warm": "Compile all kernels and keep them for later runs.",
    "doctor": "Show what this machine has, and what the GPU path lacks.",
}


def _current(name: str) -> str:
    """The command that a name means; for one that is deprecated the one to use, with a warning."""
    if name in COMMANDS:
        return name
    from forge_gpu.deprecations import advice, deprecations

    about = deprecations().get(name)
    if about is None or about.kind != "command":
        return name
    print(f"warning: forge {advice(name)}", file=sys.stderr)
    return about.rather


class Commands(usage.Group):
    """Commands that are imported when they are used: help needs only the table above."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for name in COMMANDS if find_spec(f"forge_gpu.cli.{name}") is not None]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        return super().resolve_command(ctx, [_current(args[0]), *args[1:]])

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


def _version(is_requested: bool) -> None:
    if is_requested:
        from forge_gpu._version import __version__

        typer.echo(f"forge-gpu {__version__}")
        raise typer.Exit


@app.callback()
def forge(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error, and leave forge-debug.zip.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Prepare data for fine-tuning language models, at the speed of the hardware."""


def main() -> NoReturn:
    """Run a command, and end with its exit code."""
    sys.exit(run())


def run() -> int:
    """Run a command; its exit code. --debug may stand anywhere before a `--`."""
    # Arrow's own pools keep what they once took, and so does the C library; a run is to hold what it needs.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    os.environ.setdefault(
        "PYDANTIC_DISABLE_PLUGINS", "__all__"
    )  # it reads what all packages say of themselves
    give_back_large()
    _open_streams()
    arguments = sys.argv[1:]
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    debug = "--debug" in options
    rest = [argument for argument in options if argument != "--debug"] + arguments[len(options) :]
    return _run(rest, debug)


def _open_streams() -> None:
    """A stream that whoever started us has closed takes what is written, and drops it; what is told on
    standard error is dropped where that is full: it must not change what becomes of the job."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (as long as the process lives)
    sys.stderr = cast(TextIO, _Forgiving(sys.stderr))


class _Forgiving:
    """A stream whose faults are nobody's."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def _run(arguments: list[str], debug: bool) -> int:
    """Run a command; its exit code. debug: show the traceback of an error, and leave a bundle."""
    if not debug:
        return _outcome(arguments, None)[0]
    from forge_gpu.io.secrets import command_line
    from forge_gpu.report.debug import Bundle

    bundle = Bundle(command_line())
    code, error = _outcome(arguments, bundle)
    try:
        path = bundle.write(Path(), code, error)
        print(f"left {path}: no rows are in it; look at it before you share it", file=sys.stderr)
    except ForgeError as fault:
        _say(fault)
        return code or fault.exit_code
    return code


def _outcome(arguments: list[str], bundle: Bundle | None) -> tuple[int, BaseException | None]:
    """The exit code of a command, and the error that ended it. bundle: gathers what happens."""
    try:
        code = app(arguments, prog_name="forge", standalone_mode=False, obj=bundle)
    except ForgeError as error:
        _trace(error, bundle)
        _say(error)
        return error.exit_code, error
    except KeyboardInterrupt as stop:
        print("stopped", file=sys.stderr)
        return 130, stop
    except BrokenPipeError as gone:  # whoever read the output has gone
        sys.stderr.close()
        return 141, gone
    except Exception as error:
        if usage.is_usage(error):
            return _explain_usage(error, arguments), None
        _trace(error, bundle)
        return _explain_fault(error), error
    if code == 130:
        print("stopped", file=sys.stderr)
    return (code if isinstance(code, int) else 0), None


def _trace(error: BaseException, bundle: Bundle | None) -> None:
    if bundle is not None:
        print_exception(error, file=sys.stderr)


def _explain_fault(error: Exception) -> int:
    """What no command foresaw: of a file, it says which one; all else is a fault of ours."""
    if isinstance(error, OSError) and error.strerror:
        _say(f"{error.filename or 'standard output, or a file that --debug tells'}: {error.strerror}")
    else:
        summary = " ".join(f"{type(error).__name__}: {error}".split())
        _say(f"a fault of Forge: {summary}; run again with --debug and report what it shows")
    return exit_code_of(error)


def _say(message: object) -> None:
    """An error, without the control characters that a name in it may hold, which a terminal would obey."""
    lines = str(message).split("\n")
    print("error: " + "\n".join(map(printable, lines)), file=sys.stderr)


def _explain_usage(error: Any, arguments: list[str]) -> int:
    if not arguments or type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        program = f"forge {arguments[0]}" if arguments[0] in COMMANDS else "forge"
        _say(usage.usage_fault(error, program))
    return int(error.exit_code)
