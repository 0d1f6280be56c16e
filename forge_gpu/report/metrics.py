"""What a job is at, for Prometheus: at an address, or in a file for the textfile collector.

Labels are names of stages, fates and reasons alone: never anything from the data.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from forge_gpu._version import __version__
from forge_gpu.errors import ConfigError, ForgeError, OutputError
from forge_gpu.io.atomic import written_beside
from forge_gpu.job.events.dispatch import PACE, GiveUp
from forge_gpu.job.events.encode import Entry
from forge_gpu.job.events.events import (
    ChunkDone,
    Event,
    FellBack,
    Halved,
    JobEnded,
    JobFailed,
    JobStarted,
    Retried,
    Sampled,
    StageDone,
    StageStarted,
    Warned,
)
from forge_gpu.job.output.result import Result
from forge_gpu.report.address import address_of

INSTALL = "pip install 'forge-gpu[metrics]'"
WRITE_EVERY = 5.0
"""Seconds between two writings of the file."""


class Numbers:
    """The numbers of one job, kept up to date by its events; a collector of prometheus-client."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of_stage: dict[str, dict[str, float]] = {"rows": {}, "bytes": {}, "seconds": {}}
        self._fates: dict[str, int] = {}
        self._reasons: dict[str, int] = {}
        self._counts = dict.fromkeys(("retries", "halvings", "fallbacks", "warnings"), 0)
        self._now: dict[str, float] = {"running": 1.0}
        self._info = {"version": __version__, "engine": ""}

    def add(self, event: Event) -> None:
        with self._lock:
            self._add(event)

    def _add(self, event: Event) -> None:
        match event:
            case JobStarted(engine=engine, threads=threads, memory_budget=budget):
                self._info["engine"] = engine or ""
                self._now |= {"threads": threads, "memory_budget_bytes": budget}
            case StageStarted(stage=stage, total_bytes=total):
                if total is not None:
                    self._of_stage.setdefault("total_bytes", {})[stage] = total
            case ChunkDone(stage=stage):
                self._of_stage["rows"][stage] = event.rows_so_far
                self._of_stage["bytes"][stage] = event.bytes_so_far
                self._now["peak_memory_bytes"] = event.peak_memory
                self._reasons.update(event.reasons_so_far or {})
                if stage == "write" and event.fates_so_far:
                    self._fates.update(event.fates_so_far)
            case StageDone(stage=stage, rows=rows, seconds=seconds):
                self._of_stage["rows"][stage] = rows
                self._of_stage["seconds"][stage] = seconds
            case Sampled(memory=memory, vram=vram, gpu_use=use, queue=queue):
                self._now |= {"memory_bytes": memory, "events_waiting": queue}
                self._now |= {} if vram is None else {"vram_bytes": vram}
                self._now |= {} if use is None else {"gpu_use_ratio": use}
            case Retried():
                self._counts["retries"] += 1
            case Halved():
                self._counts["halvings"] += 1
            case FellBack():
                self._counts["fallbacks"] += 1
            case Warned():
                self._counts["warnings"] += 1
            case JobEnded(counts=counts, seconds=seconds):
                self._fates = dict(counts)
                self._now |= {"running": 0.0, "job_seconds": seconds}
            case JobFailed():
                self._now["running"] = 0.0

    def finished(self, result: Result) -> None:
        """Why rows were rejected."""
        with self._lock:
            self._reasons = dict(result.manifest["rejected"])

    def collect(self) -> Iterator[Any]:
        """The families of metrics, as prometheus-client asks for them."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

        def counter(name: str, help: str, label: str, values: dict[str, float] | dict[str, int]) -> Any:
            family = CounterMetricFamily(f"forge_{name}", help, labels=[label])
            for value, number in values.items():
                family.add_metric([value], number)
            return family

        with self._lock:
            yield InfoMetricFamily("forge_job", "Version and engine of the job", dict(self._info))
            yield counter("rows", "Rows that went through a stage", "stage", self._of_stage["rows"])
            yield counter("bytes", "Bytes that went through a stage", "stage", self._of_stage["bytes"])
            yield counter(
                "stage_seconds", "Seconds of a stage that is done", "stage", self._of_stage["seconds"]
            )
            yield counter("fate_rows", "Rows by what became of them", "fate", self._fates)
            yield counter("rejected_rows", "Rejected rows by reason", "reason", self._reasons)
            totals = GaugeMetricFamily("forge_stage_bytes", "Bytes a stage is to read", labels=["stage"])
            for stage, number in self._of_stage.get("total_bytes", {}).items():
                totals.add_metric([stage], number)
            yield totals
            for name, number in self._counts.items():
                yield CounterMetricFamily(f"forge_{name}", f"{name.capitalize()} of the job", value=number)
            for name, number in self._now.items():
                yield GaugeMetricFamily(f"forge_{name}", _HELP[name], value=number)


_HELP = {
    "running": "1 while the job runs",
    "threads": "Threads the job may take",
    "memory_budget_bytes": "Bytes the job may take",
    "memory_bytes": "Resident bytes",
    "peak_memory_bytes": "The most resident bytes so far",
    "vram_bytes": "Bytes in use on the job's GPUs",
    "gpu_use_ratio": "Share of time in which the job's GPUs worked",
    "events_waiting": "Events that wait for the slowest listener",
    "job_seconds": "Seconds that the job took",
}


class Metrics:
    """A listener that publishes. where: a port on 127.0.0.1, ADDRESS:PORT, or a file that ends with .prom.

    Raises ForgeError without prometheus-client, ConfigError, OutputError.
    """

    name = "the metrics"
    pace = PACE

    def __init__(self, where: str) -> None:
        try:
            import prometheus_client
        except ImportError:
            raise ForgeError(f"--metrics needs the package prometheus-client: {INSTALL}") from None
        self.numbers = Numbers()
        self._client = prometheus_client
        self._registry = prometheus_client.CollectorRegistry()
        self._registry.register(self.numbers)
        self._server: Any = None
        self._file: Path | None = None
        self._written = time.monotonic()
        place = address_of(where)
        if place is None:
            if not where.endswith(".prom"):
                raise ConfigError(
                    f"--metrics {where}: is not a port, an ADDRESS:PORT or a file that ends with .prom"
                )
            self._file = Path(where)
            self._write()
            return
        try:
            self._server, _ = prometheus_client.start_http_server(place[1], place[0], self._registry)
        except OSError as fault:
            raise ConfigError(f"--metrics {where}: {fault.strerror}; name another port") from fault

    @property
    def port(self) -> int | None:
        """Where it is served; None for a file."""
        return None if self._server is None else int(self._server.server_port)

    def __call__(self, entry: Entry) -> None:
        self.numbers.add(entry.event)
        is_end = isinstance(entry.event, JobEnded | JobFailed)
        if self._file is not None and (is_end or time.monotonic() - self._written >= WRITE_EVERY):
            try:
                self._write()
            except OutputError as fault:
                raise GiveUp(str(fault)) from fault

    def finished(self, result: Result) -> None:
        self.numbers.finished(result)
        if self._file is not None:
            self._write()

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _write(self) -> None:
        """The whole file anew, readable by who collects it."""
        assert self._file is not None
        try:
            with written_beside(self._file, lasts=False) as partial:  # the collector reads *.prom alone
                partial.write_bytes(self._client.generate_latest(self._registry))
                partial.chmod(0o644)
        except OSError as fault:
            raise OutputError(f"{self._file}: metrics cannot be written: {fault.strerror}") from fault
        self._written = time.monotonic()
