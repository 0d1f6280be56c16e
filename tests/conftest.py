"""Paths of test helpers that several test files of a room share."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / room) for room in ("job", "io")]
