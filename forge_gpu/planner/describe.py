"""A plan in lines for people: what was found, what was chosen, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from forge_gpu.config.schema import Config
from forge_gpu.hardware.budget import Budget
from forge_gpu.hardware.describe import brief
from forge_gpu.hardware.describe import describe as describe_hardware
from forge_gpu.hardware.probe import Hardware
from forge_gpu.planner.inspect import Inspection
from forge_gpu.planner.shown_row import row_lines
from forge_gpu.planner.trial import Trial
from forge_gpu.templates.probe_lines import probe_lines
from forge_gpu.templates.probes import Probes

SHOWN = (
    ("mapping", "data.mapping.shape"),
    ("model", "model.name"),
    ("template", "model.chat_template"),
    ("date", "model.date"),
    ("max length", "model.max_length"),
    ("engine", "hardware.use_gpu_preprocessing"),
    ("threads", "preprocessing.memory.threads"),
    ("batch size", "hardware.recommended_batch_size"),
    ("output", "output.form"),
    ("kept", "output.columns"),
)
MOST_COLUMNS = 20
MOST_CHARACTERS = 60


class Planned(Protocol):
    """What is described of a plan: see `planner.plan.Plan`."""

    @property
    def config(self) -> Config: ...
    @property
    def reasons(self) -> Mapping[str, str]: ...
    @property
    def notes(self) -> Sequence[str]: ...
    @property
    def warnings(self) -> Sequence[str]: ...
    @property
    def hardware(self) -> Hardware: ...
    @property
    def budget(self) -> Budget: ...
    @property
    def data(self) -> Inspection: ...
    @property
    def probes(self) -> Probes | None: ...
    @property
    def trial(self) -> Trial | None: ...


def describe(plan: Planned) -> list[tuple[str, list[str]]]:
    """(title, lines) for each section; a section without lines is left away."""
    sections = [
        ("Hardware", [*map(brief, describe_hardware(plan.hardware)), _budget(plan)]),
        ("Data", _data(plan)),
        ("Plan", [line for title, key in SHOWN if (line := _choice(plan, title, key))]),
        ("What the chat template does", [] if plan.probes is None else probe_lines(plan.probes)),
        ("One row, as it is written", _row(plan)),
        ("Notes", list(plan.notes)),
        ("Warnings", list(plan.warnings)),
    ]
    return [(title, lines) for title, lines in sections if lines]


def _row(plan: Planned) -> list[str]:
    if plan.trial is None or not plan.trial.shown:
        return []
    return row_lines(plan.trial.shown, plan.config.model.special_tokens.values())


def _budget(plan: Planned) -> str:
    budget = plan.budget
    threads = f"{budget.threads} thread{'s' if budget.threads > 1 else ''}"
    return (
        f"memory budget: {budget.bytes / 2**20:.0f} MiB ({budget.reason}), {threads}, "
        f"chunks of {budget.chunk_bytes / 2**20:.2g} MiB"
    )


def _data(plan: Planned) -> list[str]:
    if not plan.data.files:
        return ["none yet: the first 'forge prepare PATH' looks at it, and settles what hangs on it"]
    lines = [plan.reasons["data.inputs"] + ": " + ", ".join(s.format.kind for s in plan.data.samples[:5])]
    for column in list(plan.data.columns.values())[:MOST_COLUMNS]:
        length = (
            f", {column.mean:.0f} characters on average, longest {column.longest}" if column.longest else ""
        )
        lines.append(f"column {column.name!r}: {column.kind}{length}")
    more = len(plan.data.columns) - MOST_COLUMNS
    return lines + ([f"and {more} columns more"] if more > 0 else [])


def _choice(plan: Planned, title: str, key: str) -> str | None:
    value: object = plan.config
    for name in key.split("."):
        value = getattr(value, name)
    reason = plan.reasons.get(key)
    if reason is None or value in (None, []):
        return None
    if key == "data.mapping.shape":
        return f"{title}: {_mapping(plan)} ({reason})"
    if key == "hardware.use_gpu_preprocessing":
        return f"{title}: {reason}"
    text = ", ".join(value) if isinstance(value, list) else str(value)
    shown = text if len(text) <= MOST_CHARACTERS and "\n" not in text else plan.config.model.template_source
    return f"{title}: {shown} ({reason})"


def _mapping(plan: Planned) -> str:
    mapping = plan.config.data.mapping.model_dump(exclude={"shape", "roles"}, exclude_none=True)
    named = ", ".join(f"{key} = {column}" for key, column in mapping.items())
    return f"{plan.config.data.mapping.shape}: {named}" if named else plan.config.data.mapping.shape
