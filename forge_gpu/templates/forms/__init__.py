"""The forms of the output, as a plan's `output.form` names them: each is the FORM of its module here."""

from __future__ import annotations

from importlib import import_module
from typing import get_args

from forge_gpu.config.schema import ForgeConfig, OutputConfig
from forge_gpu.templates.forms.base import Form

NAMES: tuple[str, ...] = get_args(OutputConfig.model_fields["form"].annotation)
FORMS: dict[str, Form] = {name: import_module(f"{__package__}.{name}").FORM for name in NAMES}


def form_of(config: ForgeConfig) -> Form:
    return FORMS[config.output.form]
