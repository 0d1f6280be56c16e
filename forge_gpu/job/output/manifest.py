"""manifest.json: what was made, from what, and how. All but `run` is a function of input and plan."""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, field
from typing import Any

from forge_gpu._version import __version__
from forge_gpu.config import keys
from forge_gpu.config.schema import Config
from forge_gpu.engine.choose import EngineFactory
from forge_gpu.fates import Fate, Reason, name
from forge_gpu.hardware.budget import Budget
from forge_gpu.io import urls
from forge_gpu.io.secrets import public_within
from forge_gpu.job.events.dispatch import Dispatcher
from forge_gpu.job.events.events import Event, FellBack, Halved, Listener, Retried, StageDone, Warned
from forge_gpu.job.events.memory import peak_memory
from forge_gpu.job.output.result import OutputFile
from forge_gpu.job.rows.expansions import has_parts
from forge_gpu.job.rows.workspace import Workspace
from forge_gpu.job.state.index import RangeFacts
from forge_gpu.job.state.inputs import JobInputs
from forge_gpu.job.state.started import libraries
from forge_gpu.plain import mutable


@mutable
class RunFacts:
    """What one run did, gathered from its events, engines and workspaces: the section `run`. cpu_before: what
    the process had taken of the processors as it started."""

    started: float
    cpu_before: float
    resumed: bool
    surroundings: dict[str, str] = field(default_factory=dict)
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    lost_listeners: list[str] = field(default_factory=list)
    retries: int = 0
    halvings: int = 0
    fell_back: str | None = None
    engines: EngineFactory | None = None
    workspaces: list[Workspace] = field(default_factory=list)

    def listening(self, listener: Listener) -> Listener:
        """A listener that notes events before it passes them on."""
        if isinstance(listener, Dispatcher):
            self.lost_listeners = listener.lost

        def listen(event: Event) -> None:
            match event:
                case StageDone(stage=stage, rows=rows, seconds=seconds):
                    before = self.stages.get(stage, {"seconds": 0.0})["seconds"]  # some come twice
                    self.stages[stage] = {"rows": rows, "seconds": round(before + seconds, 6)}
                case Warned(message=message):
                    self.warnings.append(message)
                case Retried():
                    self.retries += 1
                case Halved():
                    self.halvings += 1
                case FellBack(reason=reason):
                    self.fell_back = reason
            listener(event)

        return listen

    def section(
        self,
        config: Config,
        engine: str,
        budget: Budget,
        inputs: JobInputs,
        ranges: Sequence[RangeFacts],
        foretold: dict[str, Any],
    ) -> dict[str, Any]:
        """foretold: beside what was measured, where an estimate was made before."""
        render_paths: Counter[str] = Counter()
        for of_range in ranges:
            render_paths.update(of_range.render_paths)
        return {
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started)),
            "seconds": round(time.time() - self.started, 6),
            "stages": self.stages,
            "engine": engine,
            **(self.engines.report() if self.engines else {}),
            "threads": budget.threads,
            "memory_budget": budget.bytes,
            "chunk_bytes": budget.chunk_bytes,
            "chunks": sum(workspace.chunks_read for workspace in self.workspaces),
            "used_streaming": inputs.streamed,
            "peak_memory": peak_memory(),
            "template_rows": dict(render_paths),
            "resumed": self.resumed,
            "retries": self.retries,
            "halvings": self.halvings,
            "fell_back": self.fell_back,
            "warnings": self.warnings + self.lost_listeners,
            "fingerprints": {source.file.path: source.file.fingerprint for source in inputs.sources},
            "settings": public_within(
                config.model_dump(mode="json", include={"goal", "license", "hardware", "preprocessing"})
            ),
            "surroundings": self.surroundings,
            **foretold,
            "machine": {"system": platform.platform(), "python": platform.python_version()},
            "libraries": libraries(),
            **(_sandbox() if config.data.transform.script else {}),
        }


def _sandbox() -> dict[str, Any]:
    from forge_gpu.sandbox.layers import read_layers

    return {"sandbox": read_layers().names}


def content(
    config: Config,
    inputs: JobInputs,
    ranges: Sequence[RangeFacts],
    counts: dict[Fate, int],
    reasons: dict[Reason, int],
    outputs: Sequence[OutputFile],
    columns: dict[str, str],
    verified: dict[str, Any] | None,
    run: dict[str, Any],
    facts: dict[str, Any],
) -> dict[str, Any]:
    """The whole manifest. facts: sections that only some plans have."""
    records = inputs.records_of_files(ranges)
    warned: dict[Reason, int] = {}
    for of_range in ranges:
        for reason, count in of_range.warned.items():
            warned[reason] = warned.get(reason, 0) + count
    model = config.model
    return {
        "forge": __version__,
        "inputs": [
            {"path": source.file.path, "format": source.format.kind, "bytes": source.file.size, "rows": rows}
            | ({"split": source.file.split} if source.file.split else {})
            | ({"losses": [asdict(loss) for loss in source.losses]} if source.losses else {})
            for source, rows in zip(inputs.sources, records, strict=True)
        ],
        "rows": sum(records),
        **({"parts": sum(inputs.rows_of_files(ranges))} if has_parts(config) else {}),
        "counts": {name(fate): counts[fate] for fate in Fate},
        "rejected": {name(reason): count for reason, count in sorted(reasons.items())},
        "warned": {name(reason): count for reason, count in sorted(warned.items()) if count},
        "outputs": [asdict(output) for output in outputs],
        "columns": columns,
        "verified": verified,
        **facts,
        "template": {
            "kind": model.template_kind,
            "sha256": model.template_sha256,
            "text": model.chat_template,
        },
        "config": _settings(config),
        "run": run,
    }


def _settings(config: Config) -> dict[str, Any]:
    """The settings that the output depends on, without what is secret in the URLs of inputs."""
    settings = keys.effective(config)
    for key in ("weights", "caps"):
        of_input = settings["data"][key]
        if isinstance(of_input, dict):
            settings["data"][key] = {urls.shown(path): number for path, number in of_input.items()}
    return settings
