"""Frames are tested with helpers of the kernels' tests and of the library's."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / room) for room in ("kernels", "library")]
