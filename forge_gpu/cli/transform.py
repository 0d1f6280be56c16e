"""`forge transform`: check a transform script, or have one written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forge_gpu.cli.usage import group, whole_number

if TYPE_CHECKING:
    from forge_gpu.config.schema import Config

app = group("Check a script over rows in the sandbox, print a prompt for one, or ask a model to write it.")

Data = Annotated[
    list[str] | None, typer.Argument(help="Data to try it on instead of the plan's.", show_default=False)
]
Wish = Annotated[str, typer.Argument(help="What the rows must become.", show_default=False)]
Shown = Annotated[
    int | None, typer.Option("--rows", metavar="N", parser=whole_number, help="Show so many rows, redacted.")
]
LOOKED_AT = 200
"""Rows whose columns are described, and on which a script is tried."""
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


@app.command()
def prompt(
    wish: Wish,
    paths: Data = None,
    config: Plan = Path("forge.yaml"),
    rows: Shown = None,
) -> None:
    """Print a prompt that any model can answer with a script. No row is in it unless --rows asks for some."""
    from forge_gpu.scripts.prompt import get_preprocessing_prompt
    from forge_gpu.scripts.trial import rows_of

    plan, base = _plan(config, paths)
    print(get_preprocessing_prompt(plan, wish, rows_of(plan, base, LOOKED_AT), rows or 0))


@app.command()
def write(
    wish: Wish,
    paths: Data = None,
    config: Plan = Path("forge.yaml"),
    url: Annotated[
        str, typer.Option(metavar="URL", help="Of a server of OpenAI's protocol, up to /chat/completions.")
    ] = "http://127.0.0.1:8000/v1",
    model: Annotated[str, typer.Option(metavar="NAME", help="The model to ask.")] = "default",
    rounds: Annotated[int, typer.Option(metavar="N", parser=whole_number, help="Ask at most so often.")] = 3,
    rows: Shown = None,
    replay: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Take the answers of a record; nothing is reached.")
    ] = None,
    output: Annotated[Path, typer.Option(metavar="FILE", help="Where to write.")] = Path("transform.py"),
    yes: Annotated[bool, typer.Option("--yes", help="Send and write without asking.")] = False,
) -> None:
    """Ask a model for a script, try it in the sandbox, send back what fails, and write what passes.

    The key is taken from FORGE_LLM_KEY. A record of what was said is written beside the script.
    """
    import os

    from forge_gpu.cli.sections import show
    from forge_gpu.errors import OutputError
    from forge_gpu.io.atomic import write_atomic
    from forge_gpu.scripts import write as writing
    from forge_gpu.scripts.endpoint import Endpoint
    from forge_gpu.scripts.prompt import get_preprocessing_prompt
    from forge_gpu.scripts.sections import about_trial
    from forge_gpu.scripts.trial import rows_of

    record = output.with_name(output.name + ".record.json")
    for path in (output, record):
        if path.exists() and path != replay:
            raise OutputError(f"{path}: already exists; remove it, or name another with --output")
    asked = writing.read_record(replay) if replay else Endpoint(url, model, os.environ.get("FORGE_LLM_KEY"))
    plan, base = _plan(config, paths)
    looked_at = rows_of(plan, base, LOOKED_AT)
    text = get_preprocessing_prompt(plan, wish, looked_at, rows or 0)
    if rows and not replay:
        print(text)
        _confirm(yes, f"send this, with {rows} rows, to {url}?")

    def report_round(number: int, faults: Sequence[str]) -> None:
        show([(f"Round {number}", list(faults) or ["passed"])])

    written = writing.write(asked, text, looked_at, rounds, rows is not None, report_round)
    show(about_trial(written.trial, 2))
    _confirm(yes, f"write {output}?")
    write_atomic(output, written.trial.script.text)
    write_atomic(record, written.record())
    print(f"wrote {output} and {record}")


def _confirm(yes: bool, question: str) -> None:
    if not yes and not typer.confirm(question):
        raise typer.Exit(130)


def _plan(config: Path, paths: list[str] | None) -> tuple[Config, Path]:
    """The plan and the folder its inputs start from; with data of its own a command needs no plan."""
    from forge_gpu.config.load import load
    from forge_gpu.config.schema import Config

    plan = load(config).config if config.exists() or not paths else Config()
    if not paths:
        return plan, config.absolute().parent
    return plan.model_copy(update={"data": plan.data.model_copy(update={"inputs": paths})}), Path.cwd()
