"""Whether inputs that a plan was not made for fit it: asked before a night goes into rejecting their rows."""

from __future__ import annotations

from collections.abc import Callable, Collection

from forge_gpu.config.schema import Config
from forge_gpu.errors import InputError
from forge_gpu.io.dialects import Dialect
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.linked import Links
from forge_gpu.job.rows.converted import conversion_of, made_columns
from forge_gpu.planner.names import missing_column
from forge_gpu.planner.sample import sample, spread
from forge_gpu.records.paths import root_of
from forge_gpu.templates.choose import make_renderer


def check_inputs(config: Config, files: Callable[[], list[InputFile]]) -> list[str]:
    """A line for each input that has none of a column that every row needs. files: gives the inputs.

    Raises InputError where none of the inputs has it. What cannot be looked at, as a stream or a damaged
    file, is left to the job.
    """
    needed = _needed(config)
    columns = {}
    for file in spread(files()) if needed else ():
        result = _names(file, config)
        if result:
            columns[file.path] = result
    lines = {}
    for name in needed:
        lacking = [path for path, result in columns.items() if root_of(name, result) not in result]
        for path in lacking:
            lines[path] = f"{path}: {missing_column(name, columns[path])}"
        if lacking and len(lacking) == len(columns):
            raise InputError(f"{lines[lacking[0]]}: the plan is for other data; run 'forge plan' for this")
    return [f"{line}: its rows will be rejected" for line in lines.values()]


def _needed(config: Config) -> list[str]:
    """Columns without which a row is rejected; a transform may make any."""
    if config.data.transform.script is not None:
        return []
    mapping, time = config.data.mapping, config.preprocessing.split.time
    optional = {mapping.input, mapping.system, mapping.tools, mapping.label, *made_columns(config)}
    named = [name for name in make_renderer(config).columns if name not in optional]
    if config.data.convert.by is not None:
        conversion = conversion_of(config.data.convert)
        named += [conversion.columns[key] for key in conversion.convention.required]
    return [*named, *([time] if time is not None else ())]


def _names(file: InputFile, config: Config) -> Collection[str]:
    """The columns of the first records and some later ones; none where the file cannot be looked at."""
    if file.is_stream:
        return ()
    data = config.data
    try:
        looked_at = sample(file, data.format, data.encoding, Dialect.of(data.dialect))
    except InputError:
        return ()
    links = Links.of(data.linked)
    if links is not None:
        from forge_gpu.planner.linked import linked

        looked_at = linked(looked_at, links)
    return dict.fromkeys(name for record in looked_at.records for name in record)
