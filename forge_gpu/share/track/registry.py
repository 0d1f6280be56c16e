"""The trackers there are: those that --track can name, each the TRACKER of its module here."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from forge_gpu.errors import ForgeError

if TYPE_CHECKING:
    from forge_gpu.share.track.base import Tracker

NAMES = ("mlflow", "wandb")


def tracker_of(name: str) -> Tracker:
    """A tracker for one job. Raises ForgeError where its package is not installed."""
    made: Tracker = import_module(f"{__package__}.{name}").TRACKER()
    if find_spec(made.package) is None:
        raise ForgeError(f"--track {name} needs the package {made.package}: pip install 'forge-gpu[{name}]'")
    return made
