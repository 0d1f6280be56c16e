"""MLflow: a run of the experiment `forge`, or of $MLFLOW_EXPERIMENT_NAME, where $MLFLOW_TRACKING_URI says."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from forge_gpu.share.track.base import Began, Outcome

EXPERIMENT = "forge"
AT_ONCE = 100
"""Parameters or metrics that a server takes in one request."""
MOST_DIGEST = 36
CONTEXT = "mlflow.data.context"


class MlflowTracker:
    """See `base.Tracker`."""

    package = "mlflow"

    def __init__(self) -> None:
        self._client: Any = None
        self._run = self._experiment = ""

    def begin(self, began: Began) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # Forge sends nothing anywhere
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client = MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        found = self._client.get_experiment_by_name(name)
        self._experiment = self._client.create_experiment(name) if found is None else found.experiment_id
        run = self._client.create_run(
            self._experiment,
            run_name=began.name,
            tags={"forge.run": began.run, "mlflow.source.name": "forge"},
        )
        self._run = run.info.run_id
        parameters = [Param(key, str(value)) for key, value in began.parameters.items()]
        for some in _groups(parameters):
            self._client.log_batch(self._run, params=some)

    def finish(self, outcome: Outcome) -> str:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(key, float(value), now, 0) for key, value in outcome.metrics.items()]
        for key, histogram in outcome.histograms.items():  # a curve: rows over the length where a bar begins
            bars = zip(histogram.edges, histogram.rows, strict=False)
            metrics += [Metric(f"histogram.{key}", float(rows), now, edge) for edge, rows in bars]
        for some in _groups(metrics):
            self._client.log_batch(self._run, metrics=some)
        self._log_data(outcome)
        with tempfile.TemporaryDirectory(prefix="forge-track-") as folder:
            for name, text in outcome.texts.items():
                Path(folder, name).write_text(text, encoding="utf-8")
            self._client.log_artifacts(self._run, folder)
        for path in outcome.files:
            self._client.log_artifact(self._run, str(path))
        self._client.set_terminated(self._run, "FINISHED")
        return f"run {self._run} of experiment {self._experiment}"

    def _log_data(self, outcome: Outcome) -> None:
        """The output as a data set with its digest."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        data = outcome.data
        rows = sum(file["rows"] for file in data.files)
        entry = Dataset(
            name=data.name,
            digest=data.digest[:MOST_DIGEST],
            source_type="local" if "://" not in data.place else "remote",
            source=_json({"uri": data.place, "sha256": data.digest, "made_of": data.inputs[:AT_ONCE]}),
            schema=_json(data.columns),
            profile=_json({"rows": rows, "files": len(data.files)}),
        )
        self._client.log_inputs(self._run, [DatasetInput(entry, [InputTag(CONTEXT, "prepared")])])

    def fail(self, error: str, was_stopped: bool) -> None:
        self._client.set_tag(self._run, "forge.error", error[:500])
        self._client.set_terminated(self._run, "KILLED" if was_stopped else "FAILED")


def _groups(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for begin in range(0, len(items), AT_ONCE):
        yield items[begin : begin + AT_ONCE]


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


TRACKER = MlflowTracker
