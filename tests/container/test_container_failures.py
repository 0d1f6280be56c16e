"""Each way in which a container can fail, its exit code, and what is done about it."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

import forge_gpu
from forge_gpu.config.schema import Config
from forge_gpu.container.leftovers import owner
from forge_gpu.container.makers import makers
from forge_gpu.container.protocol import PROTOCOL
from forge_gpu.container.rights import OWNER_LABEL
from forge_gpu.errors import ContainerError, Interrupted
from forge_gpu.events import Event, FellBack, JobStarted, Retried
from forge_gpu.hardware.gpus import GPU, GPUs
from forge_gpu.job.state.spec import JobSpec
from tests.container.stand_in import IMAGE, JOB
from tests.job import jobs

Kind = TypeVar("Kind", bound=Event)

NAMED, AUTO = ["container.use=forge:cpu"], ["container.use=auto"]
HELLO = {"hello": {"protocol": PROTOCOL, "version": forge_gpu.__version__, "makers": makers()}}
H200 = GPU(0, "NVIDIA H200", "GPU-1", "Hopper", (9, 0), 2**37, 2**37, 0)


def event(kind: str, stage: str, **values: object) -> dict[str, object]:
    line = {"v": 1, "event": kind, "job": None, "run": "r", "n": 0, "time": "2026-01-02T03:04:05.678Z"}
    return line | {"stage": stage} | values


STARTED = event(
    "JobStarted",
    "open",
    job="j",
    spec=JobSpec(Config(), Path("."), Path("out")).to_dict(),
    engine=None,
    engine_reason=None,
    memory_budget=2**28,
    threads=4,
    resumed=False,
    versions={},
)
INDEXING = event("StageStarted", "index")


def prepare(source: Path, folder: Path, settings: list[str]) -> list[Event]:
    """Run the job; what it told."""
    events: list[Event] = []
    forge_gpu.prepare(jobs.plan(source), output=folder, settings=settings, on_event=events.append)
    return events


def failing(source: Path, folder: Path, settings: list[str] = NAMED) -> tuple[int, str]:
    """Exit code and message of a job that fails."""
    with pytest.raises((ContainerError, Interrupted)) as raised:
        prepare(source, folder, settings)
    return raised.value.exit_code, str(raised.value)


def of(kind: type[Kind], events: list[Event]) -> list[Kind]:
    return [each for each in events if isinstance(each, kind)]


def finishes(source: Path, folder: Path, settings: list[str]) -> list[Event]:
    """The job's events; it gives the host's bytes."""
    events = prepare(source, folder, settings)
    forge_gpu.prepare(jobs.plan(source), output=folder.with_name("host"))
    assert jobs.content(folder) == jobs.content(folder.with_name("host"))
    return events


# Nothing to run it in.


def test_without_an_engine(stand_in, source, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    code, reported = failing(source, tmp_path / "out")
    assert code == 69
    assert reported == "no container engine answers (docker: is not installed; podman: is not installed)"
    [fell] = of(FellBack, finishes(source, tmp_path / "out", AUTO))
    assert "docker: is not installed" in fell.reason and fell.stage == "container"


@pytest.mark.parametrize(
    "says",
    [
        "Cannot connect to the Docker daemon. Is it running?",
        "permission denied while trying to connect to the Docker daemon socket",
    ],
)
def test_with_an_engine_that_does_not_answer(stand_in, source, tmp_path, says):
    stand_in.install(down=says)
    code, reported = failing(source, tmp_path / "out")
    assert code == 69 and f"docker: {says}" in reported and "\n" not in reported
    [fell] = of(FellBack, finishes(source, tmp_path / "out", AUTO))
    assert says in fell.reason


def test_without_the_image_nothing_is_pulled(stand_in, source, tmp_path):
    stand_in.install(images={})
    assert failing(source, tmp_path / "out") == (
        69,
        "docker has no image forge:cpu; build it with: forge image build cpu",
    )
    assert len(of(FellBack, finishes(source, tmp_path / "out", AUTO))) == 1
    assert stand_in.calls("pull") == stand_in.calls("create") == []


def test_an_image_that_does_not_start(stand_in, source, tmp_path):
    stand_in.play({"code": 127, "says": "exec: python3: not found"})
    code, reported = failing(source, tmp_path / "out")
    assert code == 69 and reported == "the image forge:cpu does not start: exec: python3: not found"


# GPUs.


@pytest.fixture
def gpus(monkeypatch):
    result = GPUs((H200,), driver="580.65")
    monkeypatch.setattr("forge_gpu.container.choose.read_gpus", lambda: result)
    return result


GPU_IMAGES = {
    "forge:sm_90": IMAGE | {"Config": {"Labels": {"forge.variant": "cu13"}}},
    "forge:cpu": IMAGE,
}


def test_a_gpu_without_a_toolkit(stand_in, gpus, source, tmp_path, monkeypatch):
    monkeypatch.setattr("forge_gpu.container.engines.CDI_FOLDERS", ())
    stand_in.install(images=GPU_IMAGES)
    code, reported = failing(source, tmp_path / "out", [*AUTO, "preprocessing.engine=gpu"])
    assert code == 69 and "nvidia-container-toolkit" in reported
    [fell] = of(FellBack, finishes(source, tmp_path / "out", AUTO))
    assert "nvidia-container-toolkit" in fell.reason and fell.reason.endswith("going on in forge:cpu")
    assert "forge:cpu" in stand_in.calls("create")[0]


def test_a_gpu_goes_into_the_container(stand_in, gpus, source, tmp_path):
    stand_in.install(images=GPU_IMAGES, info={"ServerVersion": "1", "Runtimes": {"nvidia": {}}})
    finishes(source, tmp_path / "out", AUTO)
    [words] = stand_in.calls("create")
    assert words[words.index("--gpus") + 1] == '"device=GPU-1"' and "forge:sm_90" in words


def test_podman_gets_gpus_by_cdi(stand_in, gpus, source, tmp_path, monkeypatch):
    (tmp_path / "cdi").mkdir()
    (tmp_path / "cdi" / "nvidia.yaml").touch()
    monkeypatch.setattr("forge_gpu.container.engines.CDI_FOLDERS", (tmp_path / "cdi",))
    about = {"version": {"Version": "5"}, "host": {"security": {"rootless": True}}}
    stand_in.install("podman", images=GPU_IMAGES, info=about)
    finishes(source, tmp_path / "out", [*AUTO, "container.engine=podman"])
    [words] = stand_in.calls("create")
    assert words[words.index("--device") + 1] == "nvidia.com/gpu=GPU-1"
    assert words[words.index("--user") + 1] == "0:0"  # of a rootless engine: the caller


def test_an_image_of_a_newer_cuda_than_the_driver(stand_in, gpus, source, tmp_path, monkeypatch):
    old = replace(gpus, driver="550.54")
    monkeypatch.setattr("forge_gpu.container.choose.read_gpus", lambda: old)
    stand_in.install(images=GPU_IMAGES, info={"ServerVersion": "1", "Runtimes": {"nvidia": {}}})
    [fell] = of(FellBack, finishes(source, tmp_path / "out", AUTO))
    assert "is of cu13, and this machine's driver runs cu12 at most" in fell.reason


def test_a_container_whose_gpu_vanishes_is_made_anew_once(stand_in, gpus, source, tmp_path):
    stand_in.install(images=GPU_IMAGES, info={"ServerVersion": "1", "Runtimes": {"nvidia": {}}})
    lost = {"lines": [HELLO, STARTED, event("FellBack", "engine", reason="no device")], "code": 0}
    stand_in.play(lost, JOB)
    events = finishes(source, tmp_path / "out", AUTO)
    assert [each.error for each in of(Retried, events)] == ["no device"]
    assert len(stand_in.calls("create")) == 2 and not of(FellBack, events)


# In the middle of a job.


def test_out_of_memory_is_tried_once_more_with_half(stand_in, source, tmp_path):
    out = {"lines": [HELLO, STARTED, INDEXING], "code": 137, "state": {"OOMKilled": True}}
    stand_in.play(out, JOB)
    events = finishes(source, tmp_path / "out", [*NAMED, "container.memory=500000000"])
    [retried] = of(Retried, events)
    assert "out of memory in stage index at its limit of 476.8 MiB" in retried.error
    first, second = of(JobStarted, events)
    assert (second.memory_budget, second.threads <= 2) == (first.memory_budget // 2, True)
    stand_in.play(out)
    assert failing(source, tmp_path / "again")[0] == 137


def test_oom_killed_of_a_job_that_ended_well_is_no_fault(stand_in, source, tmp_path):
    stand_in.play({"job": True, "oom": True})
    assert not of(Retried, finishes(source, tmp_path / "out", NAMED))


def test_a_killed_container(stand_in, source, tmp_path):
    stand_in.play({"lines": [HELLO, STARTED, INDEXING], "code": 137})
    code, reported = failing(source, tmp_path / "out")
    assert code == 137 and reported == "the container was killed; run the same command again to go on"


def test_a_stopped_container(stand_in, source, tmp_path):
    stand_in.play({"lines": [HELLO], "code": 143})
    assert failing(source, tmp_path / "out")[0] == 143


@pytest.mark.parametrize("status", ["running", "exited", "gone"])
def test_a_lost_engine_is_looked_for_and_the_job_goes_on(stand_in, source, tmp_path, status):
    stand_in.play({"lines": [HELLO, STARTED], "code": 125, "state": {"Status": status}}, JOB)
    events = finishes(source, tmp_path / "out", NAMED)
    [retried] = of(Retried, events)
    assert "connection to docker was lost" in retried.error and stand_in.containers() == []


def test_an_engine_that_stays_away(stand_in, source, tmp_path):
    stand_in.play({"lines": [HELLO, STARTED], "code": 125, "engine_goes": True})
    code, reported = failing(source, tmp_path / "out")
    assert code == 69 and "run the same command again" in reported
    assert len(stand_in.calls("version")) == 3


def test_an_engine_that_is_lost_again_and_again(stand_in, source, tmp_path):
    stand_in.play({"lines": [HELLO, STARTED], "code": 125})
    assert failing(source, tmp_path / "out")[0] == 69
    assert len(stand_in.calls("create")) == 4


def test_an_end_without_a_word(stand_in, source, tmp_path):
    stand_in.play({"lines": [HELLO, "no message"], "code": 5, "says": "Traceback\nMemory is odd"})
    code, reported = failing(source, tmp_path / "out")
    assert code == 70 and "ended with 5" in reported and reported.endswith("Memory is odd")


def test_a_container_that_prints_among_its_messages(stand_in, source, tmp_path):
    stand_in.play({"lines": [{"some": "thing"}, [1], HELLO], "code": 9})
    assert failing(source, tmp_path / "out")[0] == 70


# What others have left.


def test_leftovers_of_dead_runs_are_removed_and_no_others(stand_in, source, tmp_path):
    dead, living = f"{socket.gethostname()}/{2**22 - 3}/1.00", owner()
    reused = owner().rpartition("/")[0] + "/1.00"  # the process's number belongs to another by now
    stand_in.add("dead", {OWNER_LABEL: dead}, "running")
    stand_in.add("reused", {OWNER_LABEL: reused})
    stand_in.add("living", {OWNER_LABEL: living})
    stand_in.add("elsewhere", {OWNER_LABEL: "another-host/1/1.00"})
    prepare(source, tmp_path / "out", NAMED)
    assert stand_in.containers() == ["elsewhere", "living"]


# Several at once.


def test_a_container_for_each_gpu_and_two_on_one_folder(stand_in, gpus, source, tmp_path, monkeypatch):
    """Three runs at once, each on a machine whose one GPU is its own: two on one folder, of which the second
    waits and finds the job done, and one on another folder."""
    devices = [replace(H200, uuid=f"GPU-{number}", index=number) for number in range(3)]
    of_thread = threading.local()
    one = partial(replace, gpus)
    monkeypatch.setattr(
        "forge_gpu.container.choose.read_gpus", lambda: one(devices=(devices[of_thread.number],))
    )
    stand_in.install(images=GPU_IMAGES, info={"ServerVersion": "1", "Runtimes": {"nvidia": {}}})
    folders = ["one", "one", "two"]

    def run(number: int) -> bool:
        of_thread.number = number
        done = forge_gpu.prepare(jobs.plan(source), output=tmp_path / folders[number], settings=AUTO)
        return done.was_finished

    with ThreadPoolExecutor(3) as pool:
        result = list(pool.map(run, range(3)))
    assert sorted(result[:2]) == [False, True] and not result[2]
    given = [call[call.index("--gpus") + 1] for call in stand_in.calls("create")]
    assert sorted(given) == [f'"device=GPU-{number}"' for number in range(3)]
    forge_gpu.prepare(jobs.plan(source), output=tmp_path / "host")
    expected = jobs.content(tmp_path / "host")
    assert jobs.content(tmp_path / "one") == jobs.content(tmp_path / "two") == expected
