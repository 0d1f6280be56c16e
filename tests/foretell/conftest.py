"""What holds for tests of estimates."""

from __future__ import annotations

import pytest

from forge_gpu.hardware.rates import Launch

SEEN = Launch(seconds=1.5, cpu=0.5, seen=0)


@pytest.fixture(autouse=True)
def a_known_launch(monkeypatch):
    """No process is started to see what one takes, but where a test is about that."""
    monkeypatch.setattr(
        "forge_gpu.foretell.launch.seen_now", lambda config: Launch(seconds=1.5, cpu=0.5, seen=0)
    )
