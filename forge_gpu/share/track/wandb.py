"""Weights & Biases: a run of the project `forge`, or of $WANDB_PROJECT; offline unless one is logged in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson

from forge_gpu.share.track.base import Began, DataSet, Outcome

PROJECT = "forge"


class WandbTracker:
    """See `base.Tracker`."""

    package = "wandb"

    def __init__(self) -> None:
        self._wandb: Any = None
        self._run: Any = None
        self._mode: Any = ""  # one of the library's own words

    def begin(self, began: Began) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # Forge sends nothing anywhere else
        import wandb

        self._wandb = wandb
        self._mode = os.environ.get("WANDB_MODE") or ("online" if _is_logged_in(wandb) else "offline")
        settings = wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            save_code=False,
            x_disable_meta=True,  # the command and the machine are in the manifest, without what is secret
            x_disable_stats=True,
            x_disable_machine_info=True,
        )
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=began.name,
            job_type="prepare",
            mode=self._mode,
            config=dict(began.parameters),
            notes=f"forge run {began.run}",
            settings=settings,
        )

    def finish(self, outcome: Outcome) -> str:
        wandb, run = self._wandb, self._run
        run.summary.update(dict(outcome.metrics))
        run.log(
            {
                key: wandb.Histogram(np_histogram=(list(histogram.rows), list(histogram.edges)))
                for key, histogram in outcome.histograms.items()
            }
            | dict(outcome.metrics)
        )
        run.log_artifact(self._data(outcome.data))
        made = wandb.Artifact(f"{outcome.data.name}-made", type="preparation")
        for name, text in outcome.texts.items():
            with made.new_file(name, encoding="utf-8") as file:
                file.write(text)
        for path in outcome.files:
            made.add_file(str(path), name=path.name)
        run.log_artifact(made)
        is_online = self._mode == "online"
        place = run.url if is_online else f"{self._mode}; 'wandb sync {Path(run.dir).parent}' sends it"
        run.finish(exit_code=0)
        return str(place)

    def _data(self, data: DataSet) -> Any:
        """The output as an artifact that names its files by their hashes: equal data is one version of it,
        and the rows stay where they are."""
        about = {"place": data.place, "sha256": data.digest, "made_of": list(data.inputs[:100])}
        artifact = self._wandb.Artifact(data.name, type="dataset", metadata=about)
        with artifact.new_file("files.json", encoding="utf-8") as file:
            file.write(orjson.dumps(list(data.files), option=orjson.OPT_INDENT_2).decode())
        return artifact

    def fail(self, error: str, was_stopped: bool) -> None:
        self._run.summary["forge.error"] = error[:500]
        self._run.finish(exit_code=130 if was_stopped else 1)


def _is_logged_in(wandb: Any) -> bool:
    """Asked without a prompt, which init would show."""
    return bool(wandb.login(prompt=False))


TRACKER = WandbTracker
