"""Forge prepares data for fine-tuning language models, at the speed of the hardware.

    import forge_gpu

    plan = forge_gpu.plan("support assistant", data=["raw.jsonl"], template="chatml")
    result = forge_gpu.prepare(plan.config, output="prepared")
    result.splits["train"].to_pandas()

Importing the package loads none of the heavy libraries; each name below loads what it needs on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forge_gpu._version import __version__

if TYPE_CHECKING:
    from forge_gpu.audit.quality_report import QualityReport
    from forge_gpu.audit.validation_report import ValidationReport
    from forge_gpu.config.schema import Config
    from forge_gpu.errors import ForgeError, NoTrainingRows
    from forge_gpu.library import check, open_engine, plan, prepare, stream, verify

_HOMES = {
    "Config": "forge_gpu.config.schema",
    "ForgeError": "forge_gpu.errors",
    "NoTrainingRows": "forge_gpu.errors",
    "QualityReport": "forge_gpu.audit.quality_report",
    "ValidationReport": "forge_gpu.audit.validation_report",
    "check": "forge_gpu.library",
    "open_engine": "forge_gpu.library",
    "plan": "forge_gpu.library",
    "prepare": "forge_gpu.library",
    "stream": "forge_gpu.library",
    "verify": "forge_gpu.library",
}

__all__ = [
    "Config",
    "ForgeError",
    "NoTrainingRows",
    "QualityReport",
    "ValidationReport",
    "__version__",
    "check",
    "open_engine",
    "plan",
    "prepare",
    "stream",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'forge_gpu' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
