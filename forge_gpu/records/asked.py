"""What a plan asks of a converter."""

from __future__ import annotations

from collections.abc import Mapping

from forge_gpu.plain import frozen


@frozen
class Asked:
    """columns: what the converter takes -> the column, or path, where it stands. answers: which of several
    to use: `each`, the `best`, `all` paths of a tree, or `pairs` of a better and a worse one."""

    columns: Mapping[str, str]
    answers: str = "each"
