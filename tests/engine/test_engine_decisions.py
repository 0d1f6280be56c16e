"""Decisions on a device: the CPU's bytes, also with too little memory and with a device that is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from forge_gpu.config.schema import Config
from forge_gpu.engine.choose import EngineFactory
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.engine.gpu.arrays import DeviceArrays
from forge_gpu.engine.resilient import ResilientEngine
from forge_gpu.hardware.budget import Budget
from forge_gpu.job.events.events import FellBack
from forge_gpu.job.prepare import prepare
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.kernels.arrays import Arrays, Result
from tests.job.jobs import content, plan, rows, write_lines
from tests.job.test_job_tokens import plan as plan_of_tokens
from tests.job.test_job_tokens import talks
from tests.kernels.host_device import HostDevice
from tests.tokens.made import document

BY_GROUP = {"dedup": {"near": {"threshold": 0.6, "action": "group"}}, "split": {"group": "category"}}
KINDS: dict[str, dict[str, Any]] = {
    "strata": {"preprocessing": {"split": {"stratify": "category"}}, "output": {"order": "shuffled"}},
    "threshold": {"preprocessing": {"split": {"mode": "threshold"}}},
    "temporal": {"preprocessing": {"split": {"mode": "temporal", "time": "time"}}},
    "groups": {"preprocessing": BY_GROUP},
    "mixture": {"data": {"weights": [2.0, 1.0]}, "output": {"order": "shuffled"}},
    "packs": {
        "data": {"weights": [2.0, 1.0], "repeats": [1, 3], "weights_by": "tokens"},
        "output": {"form": "tokens", "packing": "bfd", "pack_length": 200, "order": "shuffled"},
    },
}


class Deciding(CpuEngine):
    """Decides on a device, and does all else on the host."""

    name = "gpu"

    def __init__(self, device: HostDevice) -> None:
        super().__init__()
        self._device = device

    def decided(self, work: Callable[[Arrays], Result], rows: int) -> Result:
        return work(DeviceArrays(self._device, (self._device.limit or 1 << 20) // 8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("decisions")
    (made / "tokenizer.json").write_text(document("qwen"))
    for name, some in (("some", talks(90)[:60]), ("more", talks(90)[60:])):
        write_lines(made / f"{name}.jsonl", some)
    records = [record | {"time": str(2000 + number % 50)} for number, record in enumerate(rows(120))]
    for name, some in (("a", records[:80]), ("b", records[80:])):
        write_lines(made / f"{name}.jsonl", some)
    return made


def config_of(kind: str, folder: Path) -> Config:
    packed = kind == "packs"
    inputs = [folder / f"{name}.jsonl" for name in (("some", "more") if packed else "ab")]
    whole = plan_of_tokens(inputs[0], folder) if packed else plan(*inputs)
    settings = whole.model_dump()
    settings["data"]["inputs"] = list(map(str, inputs))
    for section, values in KINDS[kind].items():
        settings[section] |= values
    return Config.model_validate(settings)


def run(config: Config, output: Path, device: HostDevice | None, events: list[Any]) -> dict[str, str]:
    def make(factory: EngineFactory) -> Any:
        return (
            CpuEngine() if device is None else ResilientEngine(Deciding(device), CpuEngine(), factory.health)
        )

    budget = Budget(2**24, 1, 1 << 16, "a test")
    factory = EngineFactory("cpu" if device is None else "gpu", "a test", make)
    prepare(JobSpec(config, output.parent, output, fresh=True), budget, factory, events.append, lambda: None)
    return content(output)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_whole_jobs_decide_on_a_device(kind: str, folder: Path, tmp_path: Path) -> None:
    config, device = config_of(kind, folder), HostDevice()
    events: list[Any] = []
    expected = run(config, tmp_path / "out", None, [])
    assert run(config, tmp_path / "out", device, events) == expected
    assert device.peak > 0 and device.held == 0
    for part in (1, 2, 4):
        assert run(config, tmp_path / "out", HostDevice(limit=device.peak // part), events) == expected
        of_run = orjson.loads((tmp_path / "out" / "manifest.json").read_bytes())["run"]
        assert of_run["engine"] == "gpu" and (of_run["rows_on_cpu"] > 0) == (part > 1)
    assert not [event for event in events if isinstance(event, FellBack)]
    lost: list[Any] = []
    assert run(config, tmp_path / "out", HostDevice(calls=device.made // 2), lost) == expected
    assert len([event for event in lost if isinstance(event, FellBack)]) == 1
