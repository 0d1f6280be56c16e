"""`forge template`: show, render and check the chat template of a plan on its data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forge_gpu.cli.usage import group, whole_number

if TYPE_CHECKING:
    from forge_gpu.engine.base import Engine
    from forge_gpu.job.state.spec import JobSpec

app = group("List, show and try chat templates.")

Paths = Annotated[
    list[str] | None, typer.Argument(help="Data to use instead of the plan's.", show_default=False)
]
NameOrPaths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME | PATHS]",
        help="The name of a template, to show that one; or data to use instead of the plan's.",
        show_default=False,
    ),
]
Plan = Annotated[Path, typer.Option("--config", metavar="FILE", help="The plan.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the plan.")
]


@app.command("list")
def names(config: Plan = Path("forge.yaml")) -> None:
    """List the templates that have a name."""
    from forge_gpu.cli.sections import show as show_sections
    from forge_gpu.planner.template_names import about_names

    show_sections(about_names(_registered(config)))


@app.command()
def detect(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model's folder, or its name.")],
) -> None:
    """Say which template a model has, or which built-in comes near."""
    from forge_gpu.cli.sections import show as show_sections
    from forge_gpu.planner.template_names import about_model

    show_sections(about_model(model))


@app.command()
def show(
    paths: NameOrPaths = None,
    config: Plan = Path("forge.yaml"),
    settings: Settings = None,
    limit: Annotated[
        int,
        typer.Option(metavar="N", parser=whole_number, help="Show at most so many programs of each field."),
    ] = 5,
) -> None:
    """Show a template by name, or what the plan's does on its data."""
    from forge_gpu.cli.sections import show as show_sections
    from forge_gpu.planner.template_names import about_name, is_named
    from forge_gpu.planner.template_sections import about_data, about_template

    name = paths[0] if paths and len(paths) == 1 and not Path(paths[0]).exists() else None
    if name is not None:
        registered = _registered(config)
        if is_named(name, registered) or not config.exists():
            show_sections(about_name(name, registered))
            return
    spec, engine, _ = _open(paths, config, settings)
    show_sections(about_template(spec.config))
    show_sections(about_data(spec, engine, limit))


@app.command()
def render(
    row: Annotated[
        int,
        typer.Argument(metavar="ROW", parser=whole_number, help="Its number, counted from 1 over all files."),
    ],
    paths: Paths = None,
    config: Plan = Path("forge.yaml"),
    settings: Settings = None,
) -> None:
    """Render one row as the job does, and beside it by Jinja itself."""
    from forge_gpu.cli.sections import show as show_sections
    from forge_gpu.planner.template_sections import about_row

    spec, *engines = _open(paths, config, settings)
    show_sections(about_row(spec, (engines[0], engines[1]), row))


@app.command()
def check(paths: Paths = None, config: Plan = Path("forge.yaml"), settings: Settings = None) -> None:
    """Compare every row with Jinja itself; stop at the first difference."""
    from forge_gpu.cli.sections import show as show_sections
    from forge_gpu.planner.template_sections import about_check

    spec, *engines = _open(paths, config, settings)
    show_sections(about_check(spec, (engines[0], engines[1])))


def _registered(config: Path) -> Mapping[str, str]:
    """The section `templates` of the plan, if there is one."""
    from forge_gpu.config.load import load

    return load(config).config.templates if config.exists() else {}


def _open(
    paths: list[str] | None, config: Path, settings: list[str] | None
) -> tuple[JobSpec, Engine, Engine]:
    """The job of a plan, and two engines: what one returns is stale after its next call."""
    from forge_gpu.engine.cpu.engine import CpuEngine
    from forge_gpu.library import job_spec

    spec, warnings, _ = job_spec(config, paths or None, ".", settings or (), None, False, False, None)
    for warning in warnings:
        typer.echo(f"warning: {getattr(warning, 'message', warning)}", err=True)
    return spec, CpuEngine(), CpuEngine()
