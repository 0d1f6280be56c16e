"""What holds for all tests."""

from __future__ import annotations

import os
from tempfile import mkdtemp

# The history of runs is the user's own: that of the tests goes elsewhere.
os.environ["XDG_STATE_HOME"] = mkdtemp(prefix="forge-tests-")
# So are the rates of the machine, which tests would spoil.
os.environ["FORGE_RATES"] = os.path.join(mkdtemp(prefix="forge-tests-"), "rates.json")
