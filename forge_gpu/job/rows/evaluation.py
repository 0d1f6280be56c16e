"""Decontamination in a job: the rows of the evaluation files, and which rows of the input match one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from forge_gpu.config.schema import Config, DataConfig, Decontamination, Mapping, ModelConfig, OutputConfig
from forge_gpu.engine.base import Engine
from forge_gpu.errors import ConfigError, InputError
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.sources import open_source
from forge_gpu.io.spool import Spool
from forge_gpu.job.events.events import Listener, Warned
from forge_gpu.job.rows.compared import ComparedText, joined
from forge_gpu.job.rows.rows import RowReader
from forge_gpu.kernels.layout import I64, Text
from forge_gpu.plain import frozen
from forge_gpu.templates.shapes import shape_of

if TYPE_CHECKING:
    from forge_gpu.dedup.against import Against
    from forge_gpu.dedup.against import Decontamination as Rules

ROLES = ("query", "text")
"""Queries are compared; rows that are nothing but a text, by that."""

CHUNK_BYTES = 2**20


@frozen
class Evaluation:
    """The evaluation rows, indexed; read only, so threads may share it.

    files: their names. starts: int64[files + 1], number of each file's first row among all of them.
    """

    files: tuple[str, ...]
    starts: I64
    against: Against
    rules: Decontamination

    def section(self) -> dict[str, Any]:
        """What the manifest says."""
        rows = np.diff(self.starts).tolist()
        return {
            "files": [{"path": path, "rows": count} for path, count in zip(self.files, rows, strict=True)],
            "rules": self.rules.model_dump(mode="json"),
        }


def compared_text() -> ComparedText:
    """What of a row of the input is compared with evaluation rows."""
    return ComparedText(ROLES, "data.against")


def read_evaluation(
    config: Config,
    files: Sequence[InputFile],
    spool: Spool,
    make_engine: Callable[[], Engine],
    listener: Listener,
) -> Evaluation | None:
    """Read and index the evaluation files; None where there are none. Raises InputError, ConfigError."""
    if not files:
        return None
    from forge_gpu.dedup.against import Against

    rules = config.preprocessing.decontamination or Decontamination()
    if rules.ngram is None and rules.threshold is None:
        raise ConfigError(
            "preprocessing.decontamination: ngram and threshold are both null, so data.against has no rule; "
            "set one of them"
        )
    reader = RowReader(_plan_of(config), make_engine())
    texts, starts = [], [0]
    for file in files:
        text = _queries(reader, config.data, file, spool, listener)
        texts.append(text)
        starts.append(starts[-1] + len(text))
    against = Against(joined(texts), _rules(rules, config.preprocessing.seed))
    return Evaluation(tuple(file.path for file in files), np.array(starts, np.int64), against, rules)


def _rules(rules: Decontamination, seed: int) -> Rules:
    from forge_gpu.dedup.against import Decontamination as Rules
    from forge_gpu.dedup.near import NearDuplicates
    from forge_gpu.dedup.shingling import Shingling

    return Rules(
        None if rules.ngram is None else Shingling("words", rules.ngram, punctuation=True),
        None if rules.threshold is None else NearDuplicates(rules.threshold, seed=seed),
    )


def _plan_of(config: Config) -> Config:
    """A plan that reads evaluation rows: only their queries matter, so nothing else need be there."""
    mapping = config.data.against_mapping or config.data.mapping
    needs = shape_of(mapping).needs
    if not needs:
        raise ConfigError(
            "data.against_mapping: the mapping of the data names no columns; set "
            "data.against_mapping.query to the column of the evaluation files that holds the queries"
        )
    if "response" in needs:
        mapping = mapping.model_copy(update={"response": mapping.query, "label": None})
    data = config.data.model_copy(update={"mapping": mapping})
    return Config(data=data, model=ModelConfig(), output=OutputConfig(form="source"))


def _queries(reader: RowReader, data: DataConfig, file: InputFile, spool: Spool, listener: Listener) -> Text:
    """The queries of all rows of an evaluation file, empty where a row has none."""
    source = open_source(
        file,
        encoding=data.encoding,
        spool=spool,
        on_corrupt=data.on_corrupt,
        max_row_bytes=data.max_row_bytes,
    )
    compared = ComparedText(ROLES, "data.against_mapping")
    queries: list[Text] = []
    try:
        for range_ in source.ranges:
            for chunk in source.read(range_, CHUNK_BYTES, columns=reader.keys_of_tables):
                rows = reader.read(chunk, judge=False)
                queries.append(joined([compared.of(rows, np.arange(len(rows)))]))
    finally:
        source.close()
    text = joined(queries)
    empty = int(np.count_nonzero(np.diff(text.offsets) == 0))
    if empty == len(text):
        raise InputError(
            f"{file.path}: no row has a query in {_column(reader.config.data.mapping)}; name its column with "
            "--set data.against_mapping.query=COLUMN"
        )
    if empty:
        listener(Warned("open", f"{file.path}: {empty} of {len(text)} rows have no query to compare with"))
    return text


def _column(mapping: Mapping) -> str:
    return repr(mapping.query or mapping.messages or mapping.text or mapping.chosen)
