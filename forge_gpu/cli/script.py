"""`forge script`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def script(
    config: Annotated[Path, typer.Option("--config", metavar="FILE", help="The plan.")] = Path("forge.yaml"),
    plain: Annotated[
        bool, typer.Option("--plain", help="A script without Forge: the standard library and xxhash.")
    ] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the plan.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="Where to write.")] = Path(
        "prepare_data.py"
    ),
) -> None:
    """Write the plan as one readable Python file that makes the same bytes."""
    from forge_gpu.config.load import load
    from forge_gpu.errors import OutputError
    from forge_gpu.io.atomic import write_atomic
    from forge_gpu.scripts.generate import ModelAwareScriptGenerator
    from forge_gpu.scripts.profile import described, profile
    from forge_gpu.scripts.trial import rows_of

    plan, base = load(config, overrides=settings or ()).config, config.absolute().parent
    generator = ModelAwareScriptGenerator(base, plain)
    text = generator.generate_script(plan, described(profile(rows_of(plan, base, 200))))
    if output.exists() and output.read_bytes() != text.encode():
        raise OutputError(f"{output}: already exists, and is different; name another with --output")
    write_atomic(output, text)
    print(f"wrote {output}")
