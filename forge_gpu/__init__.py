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
    from forge_gpu.config.schema import (
        ContainerConfig,
        DataConfig,
        ForgeConfig,
        HardwareConfig,
        ModelConfig,
        OutputConfig,
        PreprocessingConfig,
    )
    from forge_gpu.derive.mix import mix
    from forge_gpu.derive.repack import repack
    from forge_gpu.errors import ForgeError, NoTrainingRows
    from forge_gpu.library import check, estimate, open_engine, plan, prepare, stream, tune, verify
    from forge_gpu.loading.opened import open
    from forge_gpu.planner.settings import detect_hardware, load_config, save_config, select_optimal_model

_SCHEMA = "forge_gpu.config.schema"
_SETTINGS = "forge_gpu.planner.settings"
_HOMES = {
    "ContainerConfig": _SCHEMA,
    "DataConfig": _SCHEMA,
    "ForgeConfig": _SCHEMA,
    "ForgeError": "forge_gpu.errors",
    "HardwareConfig": _SCHEMA,
    "ModelConfig": _SCHEMA,
    "NoTrainingRows": "forge_gpu.errors",
    "OutputConfig": _SCHEMA,
    "PreprocessingConfig": _SCHEMA,
    "QualityReport": "forge_gpu.audit.quality_report",
    "ValidationReport": "forge_gpu.audit.validation_report",
    "check": "forge_gpu.library",
    "detect_hardware": _SETTINGS,
    "estimate": "forge_gpu.library",
    "load_config": _SETTINGS,
    "mix": "forge_gpu.derive.mix",
    "open": "forge_gpu.loading.opened",
    "open_engine": "forge_gpu.library",
    "plan": "forge_gpu.library",
    "prepare": "forge_gpu.library",
    "repack": "forge_gpu.derive.repack",
    "save_config": _SETTINGS,
    "select_optimal_model": _SETTINGS,
    "stream": "forge_gpu.library",
    "tune": "forge_gpu.library",
    "verify": "forge_gpu.library",
}
_OLD = {"Config": "ForgeConfig"}
"""Deprecated name -> the one to use; see `deprecations`."""

__all__ = [
    "ContainerConfig",
    "DataConfig",
    "ForgeConfig",
    "ForgeError",
    "HardwareConfig",
    "ModelConfig",
    "NoTrainingRows",
    "OutputConfig",
    "PreprocessingConfig",
    "QualityReport",
    "ValidationReport",
    "__version__",
    "check",
    "detect_hardware",
    "estimate",
    "load_config",
    "mix",
    "open",
    "open_engine",
    "plan",
    "prepare",
    "repack",
    "save_config",
    "select_optimal_model",
    "stream",
    "tune",
    "verify",
]


def __getattr__(name: str) -> Any:
    current = _OLD.get(name, name)
    if current not in _HOMES:
        raise AttributeError(f"module 'forge_gpu' has no attribute {name!r}")
    from importlib import import_module

    if current != name:
        from warnings import warn

        from forge_gpu.deprecations import advice

        warn(f"forge_gpu.{advice(name)}", DeprecationWarning, stacklevel=2)
    return getattr(import_module(_HOMES[current]), current)


def __dir__() -> list[str]:
    return sorted(__all__)
