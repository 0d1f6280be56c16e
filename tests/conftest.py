"""Paths of test helpers that several test files of a room share."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "job"))
