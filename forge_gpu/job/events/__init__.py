"""What a job tells while it runs. Those who listen import `forge_gpu.events`."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """An event by the module that the public one takes the place of."""
    from importlib import import_module
    from warnings import warn

    from forge_gpu.deprecations import advice

    if name.startswith("_") or not hasattr(events := import_module(f"{__name__}.events"), name):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warn(advice(__name__), DeprecationWarning, stacklevel=2)
    return getattr(events, name)
