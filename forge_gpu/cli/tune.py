"""`forge tune`: settings of a plan, chosen by what Forge can measure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from forge_gpu.cli.usage import positive_seconds, share, whole_number


def tune(
    plan: Annotated[Path, typer.Argument(metavar="[PLAN]", help="The plan.", show_default=False)] = Path(
        "forge.yaml"
    ),
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="max_length, pack_length, near, mixture or speed; may be repeated."
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="PATH", help="Inputs instead of the plan's; may be repeated."),
    ] = None,
    coverage: Annotated[
        float, typer.Option(metavar="SHARE", parser=share, help="Of the rows that max_length leaves whole.")
    ] = 0.99,
    same: Annotated[
        float, typer.Option(metavar="SHARE", parser=share, help="Of the words that may differ in a copy.")
    ] = 0.1,
    tokens: Annotated[
        int | None,
        typer.Option(metavar="N", parser=whole_number, help="Trained tokens that the mixture is to have."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(metavar="S", parser=positive_seconds, help="For what is measured by seconds.")
    ] = 10.0,
    apply: Annotated[bool, typer.Option("--apply", help="Change the plan; the old one is kept.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print tables and settings as JSON.")] = False,
) -> None:
    """Choose settings of a plan by measuring them on a part of the data.

    Prints what there is to choose between, and what would change. Nothing is written without --apply. The
    same data, plan and seed give the same answer, except where seconds are measured.

    \b
    Examples:
      forge tune
      forge tune --only pack_length --only near --apply
      forge tune --only mixture --tokens 50000000 --json
    """
    import sys

    from forge_gpu import library
    from forge_gpu.config.edit import edited
    from forge_gpu.config.write import replace_kept
    from forge_gpu.io.disk import output_fault

    made = library.tune(
        plan,
        only=only or (),
        data=data or None,
        coverage=coverage,
        same=same,
        tokens=tokens,
        seconds=seconds,
    )
    before = plan.read_text("utf-8-sig")
    after = edited(before, made.settings, made.reasons) if made.settings else before
    if as_json:
        import orjson

        sys.stdout.write(orjson.dumps(made.to_dict(), option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        from forge_gpu.cli.sections import show
        from forge_gpu.tuning.describe import describe, diff

        show([*describe(made), ("Changes", diff(before, after, str(plan)) or ["none"])])
    if not apply or not made.settings:
        return
    try:
        backup = replace_kept(plan, after)
    except OSError as error:
        raise output_fault(error, plan) from error
    if not as_json:
        print(f"wrote {plan}; the one that was there is now {backup}")
