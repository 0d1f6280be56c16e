"""From a configuration to the renderer that it asks for."""

from __future__ import annotations

from forge_gpu.config.schema import Config
from forge_gpu.errors import ConfigError
from forge_gpu.templates.forms import form_of
from forge_gpu.templates.renderer import Renderer
from forge_gpu.templates.shapes import shape_of


def make_renderer(config: Config) -> Renderer:
    """The renderer of `model.template_kind`, `data.mapping` and `output.form`.

    Raises ConfigError where mapping and form do not go together, TemplateError where the template is not
    valid or does not fit the form.
    """
    mapping, form = config.data.mapping, form_of(config)
    shape = shape_of(mapping)
    shape.require(mapping)
    fault = form.misfit(shape) or form.spans_fault(config) or form.turns_fault(config)
    if fault is not None:
        raise ConfigError(fault)
    return form.renderer(config)
