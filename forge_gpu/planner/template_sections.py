"""What `forge template` prints: titled lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from forge_gpu.config.schema import Config
from forge_gpu.engine.base import Engine
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.planner.template_trial import Trial, check_rows, shown, try_programs, try_row
from forge_gpu.templates.environment import chat_template
from forge_gpu.templates.jinja_renderer import JinjaRenderer
from forge_gpu.templates.probe_lines import probe_lines
from forge_gpu.templates.probes import probe, today, with_date
from forge_gpu.templates.renderer import Renderer

Section = tuple[str, list[str]]
WIDEST = 400
"""Characters of a program that are shown."""


def about_template(config: Config) -> Iterator[Section]:
    """Where it comes from, and for a Jinja template what probes found."""
    model = config.model
    origin = [f"kind: {model.template_kind}", f"source: {model.template_source or 'the plan'}"]
    if model.template_sha256:
        origin.append(f"sha256: {model.template_sha256}")
    if model.template_is_approximate:
        origin.append("chosen by a family's name: an approximation")
    yield "Template", origin
    if model.template_kind == "jinja":
        template = chat_template(model)
        if template.date is None:
            template = with_date(template, today())
        yield "What it does", probe_lines(probe(template))


def about_data(spec: JobSpec, engine: Engine, limit: int) -> Iterator[Section]:
    """The programs that the data takes, and the rows of each."""
    renderer, trial = try_programs(spec, engine)
    yield "Rows", _row_lines(renderer, trial)
    for name, counts in trial.programs.items():
        yield f"Programs of {name!r}", list(_program_lines(renderer, counts, limit))
    if trial.refused:
        yield "Refused", _refused_lines(trial, limit)


def _row_lines(renderer: Renderer, trial: Trial) -> list[str]:
    lines = [f"{trial.rows} rows"]
    if isinstance(renderer, JinjaRenderer):
        counts = renderer.counts
        lines += [
            f"{counts.compiled} by compiled programs",
            f"{counts.evaluated} by programs evaluated in Python (messages with more than a role and a text)",
            f"{counts.row_wise} by Jinja, row by row",
            f"{renderer.guard.compared} compared with Jinja: no difference",
        ]
        lines += [f"row by row, since the template has {why}: {rows}" for why, rows in renderer.fallbacks()]
    return [*lines, f"{sum(trial.refused.values())} refused"]


def _program_lines(renderer: Renderer, counts: Counter[int], limit: int) -> Iterator[str]:
    for number, rows in counts.most_common(limit):
        line = shown(renderer.programs[number])
        yield f"{rows} rows: {line[:WIDEST]}{'…' if len(line) > WIDEST else ''}"
    if len(counts) > limit:
        yield f"and {len(counts) - limit} more programs"


def _refused_lines(trial: Trial, limit: int) -> list[str]:
    lines = [
        f"{rows} rows: {': '.join(filter(None, (reason, detail)))}"
        for (reason, detail), rows in trial.refused.most_common(limit)
    ]
    more = len(trial.refused) - limit
    return [*lines, f"and {more} more reasons"] if more > 0 else lines


def about_row(spec: JobSpec, engines: tuple[Engine, Engine], number: int) -> Iterator[Section]:
    """One row, as the job renders it and as the oracle does."""
    result, expected = try_row(spec, engines, number)
    for name, text in result.items():
        yield f"Row {number}, {name}", text.split("\n")
    if result == expected:
        yield "Oracle", ["the same"]
        return
    for name, text in expected.items():
        yield f"Row {number}, {name}, by the oracle: DIFFERENT", text.split("\n")


def about_check(spec: JobSpec, engines: tuple[Engine, Engine]) -> Iterator[Section]:
    """Every row against the oracle. Raises TemplateError at the first that differs."""
    trial = check_rows(spec, engines)
    refused = sum(trial.refused.values())
    yield "Check", [f"{trial.rows} rows: {trial.compared} equal, {refused} refused by both, 0 different"]
