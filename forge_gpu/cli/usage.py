"""A command line that cannot be understood, as one line: what is amiss, what was meant, where help is."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from typing import Any

import typer
from typer.core import TyperGroup

from forge_gpu.errors import ConfigError

STDOUT = "-"
"""What stands for standard output where a file is asked for."""


class Group(TyperGroup):
    """Commands with the nearest name for one that there is not."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        known = self.list_commands(ctx)
        if name not in known and not name.startswith("-"):
            ctx.fail(
                f"there is no command {name!r}" + (_nearest(name, known) or f"; known: {', '.join(known)}")
            )
        return super().resolve_command(ctx, args)


def group(help: str) -> typer.Typer:
    """A command that has commands of its own."""
    return typer.Typer(
        cls=Group, help=help, rich_markup_mode=None, add_completion=False, no_args_is_help=True
    )


def whole_number(text: str) -> int:
    """Of an option or argument: how many, from 1 on."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise typer.BadParameter(f"{text!r} is not a whole number of 1 or more")
    return number


def positive_seconds(text: str) -> float:
    """Of an option: seconds, more than none and no more than an hour."""
    number = _number(text)
    if not 0 < number <= 3600:
        raise typer.BadParameter(f"{text!r} is not a number of seconds up to 3600")
    return number


def share(text: str) -> float:
    """Of an option: a number above 0, up to 1."""
    number = _number(text)
    if not 0 < number <= 1:
        raise typer.BadParameter(f"{text!r} is not a fraction above 0 and at most 1")
    return number


def _number(text: str) -> float:
    """0 of what is none."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def one_of(*words: str) -> Callable[[str], str]:
    """Of an option: one of these words."""

    def parse(text: str) -> str:
        if text not in words:
            raise typer.BadParameter(f"{text!r} is none of {', '.join(words)}")
        return text

    return parse


def address(text: str) -> str:
    """Of an option: where something listens, as tcp://host:8786."""
    if not re.fullmatch(r"(\w+://)?[^\s/]+:\d+", text):
        raise typer.BadParameter(f"{text!r} is not an address with a port, such as tcp://host:8786")
    return text


def require_one_on_stdout(uses: dict[str, bool]) -> bool:
    """Whether an option takes standard output for itself. uses: option -> whether it is asked to.

    Raises ConfigError where several are.
    """
    taken = [option for option, is_used in uses.items() if is_used]
    if len(taken) > 1:
        raise ConfigError(f"{' and '.join(taken)}: only one of them may write to standard output")
    return bool(taken)


def is_usage(error: Exception) -> bool:
    """Whether typer raised it to say that it does not understand the command line."""
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


def usage_fault(error: Any, program: str) -> str:
    """The line. program: the command that was meant, for an error that does not say."""
    context = getattr(error, "ctx", None)
    fault = _fault(error, context)
    help_ = f"'{context.command_path if context else program} --help'"
    return f"{fault} See {help_}" if fault.endswith("?") else f"{fault}; see {help_}"


def _fault(error: Any, context: Any) -> str:
    message = str(error.format_message())
    match type(error).__name__:
        case "NoSuchOption":
            known = [name for option in context.command.params for name in option.opts] if context else []
            name = error.option_name
            return f"there is no option {name!r}" + _nearest(name, [n for n in known if n.startswith("-")])
        case "MissingParameter":
            return f"{_hint(error)} is missing"
        case "BadParameter" if error.param is not None:
            return f"{_hint(error)}: {str(error.message).rstrip('.')}"
        case "BadOptionUsage":
            return f"{error.option_name} {'takes no' if 'does not take' in message else 'needs a'} value"
    extra = re.fullmatch(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)", message, re.DOTALL)
    if extra is None:
        return message[:1].lower() + message[1:].rstrip(".")
    takes = context is not None and any(
        param.param_type_name == "argument" for param in context.command.params
    )
    return f"{extra[1]!r} is too much" + ("; put an argument of several words in quotes" if takes else "")


def _hint(error: Any) -> str:
    """The option or argument, as it is written."""
    param = error.param
    return param.opts[-1] if param.param_type_name == "option" else str(param.name).upper()


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 1, 0.7)
    return f"; did you mean {near[0]!r}?" if near else ""
