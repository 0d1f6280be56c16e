"""`forge mix`: a mixture of prepared folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from forge_gpu.errors import ConfigError


def mix(
    folders: Annotated[
        list[Path], typer.Argument(help="What forge prepare has written.", metavar="FOLDER...")
    ],
    output: Annotated[Path, typer.Option(help="The folder to write.")] = Path("mixed"),
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="W,W...", help="The share of each folder in the tokens; without, what each has."
        ),
    ] = None,
    tokens: Annotated[
        str | None,
        typer.Option(
            metavar="N", help="Tokens of train, as 2e9: folders are repeated to have them. Without, none is."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of which rows are taken.")] = 0,
) -> None:
    """Make a mixture of prepared folders of tokens: an index of their lines, which training code opens.

    \b
    Examples:
      forge mix chat code --weights 0.7,0.3 --output mixed
      forge mix chat code --weights 2,1 --tokens 2e9
    """
    from forge_gpu.derive.mix import mix as make

    mixture = make(folders, output, weights=_numbers(weights), tokens=_count(tokens), seed=seed)
    for entry in mixture["sources"]:
        print(
            f"{entry['folder']}: {entry['taken']['lines']:,} of {entry['lines']:,} lines, "
            f"{entry['taken']['tokens']:,} tokens, {100 * entry['share']:.1f}%, {entry['passes']:.2f} passes"
        )
    print(f"wrote {output}: {mixture['lines']:,} lines, {mixture['tokens']:,} tokens")


def _numbers(text: str | None) -> list[float] | None:
    try:
        return None if text is None else [float(weight) for weight in text.split(",")]
    except ValueError:
        raise ConfigError(
            f"--weights {text}: write numbers with commas between them, such as 0.7,0.3"
        ) from None


def _count(text: str | None) -> int | None:
    try:
        return None if text is None else int(float(text.replace("_", "")))
    except (ValueError, OverflowError):
        raise ConfigError(f"--tokens {text}: is not a number of tokens, such as 2e9") from None
