"""Templates with code on the GPU engine: the CPU's very bytes, whatever the device gives up or loses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.engine.lazy import LazySpans
from forge_gpu.engine.resilient import Health, ResilientEngine
from forge_gpu.job.events.events import FellBack, Halved
from forge_gpu.kernels.cpu.vm_rows import Machine
from forge_gpu.kernels.vm_layout import Outcome
from forge_gpu.kernels.vm_tables import tables
from tests.engine.test_engine_gpu import BACKENDS, gpu_engine, on, run
from tests.job.jobs import content, plan, write_lines
from tests.kernels.cuda_backends import SIMULATED, open_device, run_simulated
from tests.kernels.host_device import DeviceLost
from tests.kernels.simulated_engine import Entered
from tests.templates.chat_cases import TOOL
from tests.templates.chat_support import WRITTEN, chat_template
from tests.templates.vm_support import column, compiled

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered")
TEMPLATE = WRITTEN["default_system_and_tools"]
MAPPING = {"shape": "conversation", "messages": "messages", "tools": "tools"}


def conversation(number: int) -> dict[str, Any]:
    """A call of a tool and its answer; most have the same tools."""
    call = {"type": "function", "function": {"name": "find", "arguments": {"k": number, "s": 'a"\n'}}}
    messages = [
        {"role": "user", "content": f"Question {number} é\u2028" + "?" * (number % 7)},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": json.dumps({"found": number})},
        {"role": "assistant", "content": f"It is {number}."},
    ]
    return {"messages": messages[: 4 if number % 3 else 1] + messages[3:] * (number % 3 == 0)} | (
        {"tools": [TOOL] if number % 5 else [TOOL, TOOL]} if number % 4 else {}
    )


CONVERSATIONS = [conversation(number) for number in range(14)]


@pytest.fixture(params=BACKENDS)
def device(request: pytest.FixtureRequest) -> Entered:
    return Entered(open_device(request.param))


def config(folder: Path) -> Any:
    return plan(
        write_lines(folder / "in.jsonl", CONVERSATIONS),
        data={"mapping": MAPPING},
        model={"chat_template": TEMPLATE, "template_kind": "jinja"},
    )


def test_a_job_writes_the_same_bytes(
    device: Entered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from forge_gpu.kernels.cuda import vm_rows

    done: list[int] = []

    def counting(*arguments: Any) -> Any:
        written = run_rows(*arguments)
        done.extend((written.outcome == Outcome.DONE).tolist())
        return written

    run_rows = vm_rows.run_rows
    monkeypatch.setattr(vm_rows, "run_rows", counting)
    events: list[Any] = []
    run(config(tmp_path), tmp_path / "cpu", CpuEngine, [])
    run(config(tmp_path), tmp_path / "gpu", on(device), events)
    assert content(tmp_path / "gpu") == content(tmp_path / "cpu")
    assert not [event for event in events if isinstance(event, FellBack | Halved)]
    assert len(done) >= len(CONVERSATIONS) and all(done)


def columns(rows: list[dict[str, Any]]) -> list[Any]:
    messages = column([row["messages"] for row in rows], False)
    return [messages, column([row.get("tools", None) for row in rows], False)]


def texts(rendered: Any) -> list[bytes]:
    return [rendered.text.raw(k) for k in range(len(rendered.text))]


def test_texts_stay_on_the_device_and_outlive_it(device: Entered) -> None:
    machine = Machine(compiled(chat_template(TEMPLATE)).program)
    deep = {"role": "user", "content": "x", "metadata": json.loads("[" * 40 + "]" * 40)}
    rows = [*CONVERSATIONS[:5], {"messages": [deep]}, {"messages": 3}]
    given, numbers = columns(rows), np.arange(len(rows))[::-1].copy()
    expected = machine.run(given, numbers)
    expected_texts, outcome, place = texts(expected), expected.outcome.copy(), expected.place.copy()
    health = Health()
    engine = ResilientEngine(gpu_engine(device), CpuEngine(), health)
    made = engine.run_code(machine, given, numbers)
    assert isinstance(made.text, LazySpans) and not made.text.is_here
    assert made.outcome.tolist() == outcome.tolist() and made.place.tolist() == place.tolist()
    assert made.text.kind.tolist() == expected.text.kind.tolist()
    assert texts(made) == expected_texts
    lost = engine.run_code(machine, given, numbers)
    device.device.download = lost_device
    assert texts(lost) == expected_texts
    assert health.failure is not None


def lost_device(array: Any) -> Any:
    raise DeviceLost("CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure")


@pytest.mark.sim
def test_what_does_not_fit_is_halved_sim() -> None:
    if not SIMULATED:
        pytest.skip("runs in a process of its own, with NUMBA_ENABLE_CUDASIM=1")
    machine = Machine(compiled(chat_template(TEMPLATE)).program)
    given, numbers = columns(CONVERSATIONS), np.arange(len(CONVERSATIONS))
    expected = texts(machine.run(given, numbers))
    device = Entered(open_device("sim"))
    fixed = len(tables()) + len(machine.program.literals)
    device.device.limit = fixed + sum(len(column.data) for column in given) * 3 // 4
    health = Health()
    made = ResilientEngine(gpu_engine(device), CpuEngine(), health).run_code(machine, given, numbers)
    assert texts(made) == expected
    assert health.halvings and health.failure is None


@pytest.mark.sim
@pytest.mark.skipif(SIMULATED, reason="this is the simulator's process")
def test_in_the_simulator() -> None:
    run_simulated(__file__)
