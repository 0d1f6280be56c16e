"""Does a template fit the columns of the data? Asked at plan time, with a sample."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from forge_gpu.config.schema import Config
from forge_gpu.errors import TemplateError
from forge_gpu.templates import format_string
from forge_gpu.templates.choose import make_renderer


def validate_template(template: str, columns: Iterable[str]) -> tuple[str, ...]:
    """The columns that a format string names; TemplateError, with the nearest column, if one is lacking.

    columns: those of the sample.
    """
    known = tuple(dict.fromkeys(columns))
    named = format_string.columns_of(format_string.parse(template))
    if not named:
        raise TemplateError("the format string names no column: every row would be the same text")
    faults = [_fault(name, known) for name in named if name not in known]
    if faults:
        raise TemplateError(f"the template does not fit the data: {'; '.join(faults)}")
    return named


def validate_renderer(config: Config, columns: Iterable[str]) -> tuple[str, ...]:
    """The columns that a configuration's renderer reads; refused where the sample does not have one.

    Optional columns (input, system, tools) must exist in the sample too, in some record: a name that no
    record has is a slip. Raises TemplateError or ConfigError.
    """
    known = tuple(dict.fromkeys(columns))
    read = make_renderer(config).columns
    faults = [_fault(name, known) for name in read if name not in known]
    if faults:
        raise TemplateError(f"the template does not fit the data: {'; '.join(faults)}")
    return read


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is spelled most like `name`, if any is alike."""
    folded = {candidate.casefold(): candidate for candidate in known}
    near = difflib.get_close_matches(name.casefold(), folded, 1, 0.5)
    return folded[near[0]] if near else None


def _fault(name: str, known: tuple[str, ...]) -> str:
    near = nearest(name, known)
    hint = f"did you mean {near!r}?" if near else f"there are {', '.join(known) or 'no columns'}"
    return f"no column is named {name!r}, {hint}"
