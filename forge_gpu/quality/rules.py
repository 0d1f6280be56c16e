"""The checks of texts by rules or kinds: loaded where a plan makes one of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from forge_gpu.kernels.layout import Text
from forge_gpu.kernels.scratch import Scratch
from forge_gpu.quality.filters import c4, gopher
from forge_gpu.quality.patterns import personal_data, secrets

RULES: dict[str, Callable[[Text, Scratch], dict[str, npt.NDArray[np.bool_]]]] = {
    "secrets": secrets,
    "personal_data": personal_data,
    "gopher": gopher,
    "c4": c4,
}
"""Check -> what gives the rows that fail it by rule or kind."""
