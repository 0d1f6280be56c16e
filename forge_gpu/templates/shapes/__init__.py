"""The shapes of records. To add one: a file here, a line in SHAPES, its name in the schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forge_gpu.config import schema
from forge_gpu.templates.shapes.base import RecordShape
from forge_gpu.templates.shapes.columns import ColumnRecords
from forge_gpu.templates.shapes.conversation import ConversationRecords
from forge_gpu.templates.shapes.flat import FlatRecords
from forge_gpu.templates.shapes.preference import PreferencePairs
from forge_gpu.templates.shapes.prompt import PromptRecords
from forge_gpu.templates.shapes.text import TextRecords

SHAPES: dict[str, RecordShape] = {
    shape.name: shape
    for shape in (
        PreferencePairs(),
        PromptRecords(),
        ConversationRecords(),
        FlatRecords(),
        TextRecords(),
        ColumnRecords(),
    )
}
"""In the order in which a sample is tried for them."""


def shape_of(mapping: schema.Mapping) -> RecordShape:
    return SHAPES[mapping.shape]


def shape_named_by(keys: Mapping[str, Any]) -> RecordShape | None:
    """The shape that keys of the mapping tell of, where they name none."""
    return next((shape for shape in SHAPES.values() if any(keys.get(key) for key in shape.telling)), None)
