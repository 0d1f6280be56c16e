"""Jobs in containers of a real Docker engine: bytes, signals, memory, kills, several at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import forge_gpu
from forge_gpu.config.schema import Config
from forge_gpu.errors import ContainerError
from forge_gpu.events import Event, JobStarted, StageStarted
from forge_gpu.pipeline import DockerPreprocessor
from tests.container import counted
from tests.container.real import CHECKOUT, IMAGE, RealEngine, open_real
from tests.job import jobs
from tests.sandbox.attacks import Outside, attacks
from tests.sandbox.inside_container import VICTIM

pytestmark = [pytest.mark.docker, pytest.mark.slow]

USE = [f"container.use={IMAGE}", "container.cache=off", "container.engine=docker"]
CHAT: dict[str, dict[str, Any]] = {
    "data": {"mapping": {"shape": "conversation", "messages": "messages"}},
    "model": {"chat_template": "chatml", "template_kind": "builtin"},
}
PLANS: dict[str, Callable[[Path], Config]] = {
    "examples": lambda rows: jobs.plan(CHECKOUT / "examples" / "support.jsonl"),
    "chat": lambda rows: jobs.plan(
        data={"inputs": [str(CHECKOUT / "examples" / "chat.jsonl")], **CHAT["data"]}, model=CHAT["model"]
    ),
    "near": lambda rows: jobs.plan(rows, preprocessing={"dedup": {"near": {"threshold": 0.7}}}),
    "parquet": lambda rows: jobs.plan(rows, output={"format": "parquet", "order": "shuffled"}),
}


@pytest.fixture(autouse=True)
def docker(real_engine: RealEngine, monkeypatch: pytest.MonkeyPatch) -> RealEngine:
    monkeypatch.setenv("PATH", f"{real_engine.path}:{os.environ['PATH']}")
    return real_engine


def left(engine: RealEngine, output: Path) -> str:
    """The containers that have this output folder; others may run tests of their own."""
    return engine.call("ps", "--all", "--quiet", "--filter", f"volume={output}")


@pytest.mark.parametrize("plan", PLANS)
def test_a_container_gives_the_hosts_bytes(source, tmp_path, plan):
    config = PLANS[plan](source)
    result = forge_gpu.prepare(config, output=tmp_path / "inside", settings=USE)
    forge_gpu.prepare(config, output=tmp_path / "host")
    assert jobs.content(tmp_path / "inside") == jobs.content(tmp_path / "host")
    where = result.manifest["run"]["surroundings"]
    assert where["image"] == IMAGE and where["digest"].startswith("sha256:")


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Rows whose preparation takes a moment, with near-duplicates to look for."""
    return jobs.write_lines(tmp_path / "large.jsonl", jobs.rows(20_000, seed=9))


def forge(*arguments: str | Path, folder: Path) -> subprocess.Popen[str]:
    program = [sys.executable, "-c", "from forge_gpu.cli.app import main; main()"]
    words = [*program, *map(str, arguments)]
    return subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def write_plan(config: Config, folder: Path) -> None:
    from forge_gpu.config.write import save

    save(folder / "forge.yaml", config, {})


def in_container(folder: Path) -> subprocess.Popen[str]:
    settings = [word for setting in USE for word in ("--set", setting)]
    return forge("prepare", *settings, folder=folder)


def wait_for(path: Path, child: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert child.poll() is None, child.communicate()
        time.sleep(0.01)


def test_stopped_half_way_in_the_container_and_finished_on_the_host(large, tmp_path, docker):
    config = jobs.plan(large, preprocessing={"dedup": {"near": {}}})
    write_plan(config, tmp_path)
    child = in_container(tmp_path)
    wait_for(tmp_path / "prepared" / ".forge" / "job.json", child)
    child.send_signal(signal.SIGINT)
    reported = child.communicate(timeout=120)[1]
    assert child.returncode == 130, reported
    assert left(docker, tmp_path / "prepared") == ""
    result = forge_gpu.prepare(config, output=tmp_path / "prepared")
    forge_gpu.prepare(config, output=tmp_path / "host")
    assert not result.was_finished
    assert jobs.content(tmp_path / "prepared") == jobs.content(tmp_path / "host")


def test_killed_on_the_host_and_finished_in_a_container_killed_once_more(large, tmp_path, docker):
    config = jobs.plan(large)
    write_plan(config, tmp_path)
    checkpoint = tmp_path / "prepared" / ".forge"
    child = forge("prepare", folder=tmp_path)
    wait_for(checkpoint / "job.json", child)
    child.kill()
    child.communicate()

    killed = False

    def kill_once(event: Event) -> None:
        nonlocal killed
        if isinstance(event, StageStarted) and not killed:
            killed = True
            docker.call("kill", "--signal", "KILL", left(docker, tmp_path / "prepared"))

    with pytest.raises(ContainerError) as raised:
        forge_gpu.prepare(config, output=tmp_path / "prepared", settings=USE, on_event=kill_once)
    assert raised.value.exit_code == 137 and left(docker, tmp_path / "prepared") == ""
    forge_gpu.prepare(config, output=tmp_path / "prepared", settings=USE)
    forge_gpu.prepare(config, output=tmp_path / "host")
    assert jobs.content(tmp_path / "prepared") == jobs.content(tmp_path / "host")


def test_a_run_that_is_killed_leaves_a_container_that_the_next_removes(large, tmp_path, docker):
    write_plan(jobs.plan(large, preprocessing={"dedup": {"near": {}}}), tmp_path)
    child = in_container(tmp_path)
    wait_for(tmp_path / "prepared" / ".forge" / "job.json", child)
    child.kill()
    child.communicate()
    forge_gpu.prepare(jobs.plan(large), output=tmp_path / "other", limit=100, settings=USE)
    assert left(docker, tmp_path / "prepared") == ""


def test_two_containers_on_one_folder_and_two_on_two(source, tmp_path):
    """The second on a folder waits for the lock, and finds the job done; on other folders both run."""
    write_plan(jobs.plan(source), tmp_path)
    settings = [word for setting in USE for word in ("--set", setting)]
    outputs = ("one", "one", "two")
    children = [
        forge("prepare", "--output", output, "--set", f"hardware.gpu_arch=GPU{number}", *settings,
              folder=tmp_path)
        for number, output in enumerate(outputs)
    ]  # fmt: skip
    reported = [child.communicate(timeout=240) for child in children]
    assert [child.returncode for child in children] == [0, 0, 0], reported
    assert sum("already prepared" in out for out, _ in reported) == 1
    forge_gpu.prepare(jobs.plan(source), output=tmp_path / "host")
    expected = jobs.content(tmp_path / "host")
    assert jobs.content(tmp_path / "one") == jobs.content(tmp_path / "two") == expected


def test_a_container_holds_no_more_than_its_limit(source, tmp_path):
    plan = jobs.plan(source)
    events: list[Event] = []
    forge_gpu.prepare(
        plan,
        output=tmp_path / "out",
        settings=[*USE, "container.memory=400000000"],
        on_event=events.append,
    )
    [started] = [event for event in events if isinstance(event, JobStarted)]
    assert started.memory_budget < 400_000_000


def test_a_container_sees_no_more_than_its_mounts(source, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "secret.jsonl").write_text("{}\n")
    script = "import os, sys; print(sorted(os.listdir(os.path.dirname(sys.argv[1]))))"
    lines: list[str] = []
    preprocessor = DockerPreprocessor(Config())
    preprocessor.container_name = IMAGE
    assert preprocessor.execute_preprocessing(script, source, tmp_path / "out", on_line=lines.append)
    assert lines == ["['out', 'rows.jsonl']"]


def test_out_of_memory_is_told_with_its_stage(source, tmp_path, monkeypatch):
    """A limit below what the imports hold, which the rules of a plan refuse, reached by a way around them."""
    monkeypatch.setattr("forge_gpu.container.run.memory_limit", lambda setting: 40_000_000)
    with pytest.raises(ContainerError) as raised:
        forge_gpu.prepare(jobs.plan(source), output=tmp_path / "out", settings=USE)
    assert raised.value.exit_code == 137 and "out of memory in stage open" in str(raised.value)


def test_a_warm_cache_that_cannot_be_written_is_used(source, tmp_path, docker, monkeypatch):
    counted.warmed(1)
    (tmp_path / "bin").mkdir()
    engine = open_real(tmp_path / "bin", docker.docker, ",readonly")
    assert engine is not None
    monkeypatch.setenv("PATH", f"{engine.path}:{os.environ['PATH']}")
    script = in_checkout("from tests.container.counted import hits; print(hits())")
    lines: list[str] = []
    preprocessor = DockerPreprocessor(Config())
    preprocessor.container_name = IMAGE
    assert preprocessor.execute_preprocessing(script, source, tmp_path / "out", on_line=lines.append)
    assert lines == ["(2, 3) [1, 0]"]


def in_checkout(code: str) -> str:
    """A script that imports the tests where it runs."""
    return f"import sys; sys.path.insert(0, {str(CHECKOUT)!r})\n{code}\n"


def test_a_transform_is_closed_in_inside_a_container(tmp_path):
    """There bubblewrap cannot run: Landlock and the filter hold, together and the filter alone."""
    output = tmp_path / "out"
    given = tmp_path / "attacks.json"
    rows = attacks(Outside(output / "secret", output, VICTIM))
    del rows["who_is_root"]  # root without capabilities stays root, and has no rights
    given.write_text(json.dumps(rows))
    code = "from tests.sandbox.inside_container import main; main(*sys.argv[1:])"
    lines: list[str] = []
    preprocessor = DockerPreprocessor(Config())
    preprocessor.container_name = IMAGE
    run = preprocessor.execute_preprocessing
    assert run(in_checkout(code), given, output, on_line=lines.append), lines
    reported = json.loads(lines[-1])
    assert reported["layers"] == ["filter", "landlock"] and reported["attacks"] > 200
    assert reported["leaks"] == {} and reported["is_whole"]


def test_a_job_with_a_transform_gives_the_hosts_bytes(source, tmp_path):
    script = tmp_path / "transform.py"
    script.write_text("def transform(row):\n    return {**row, 'output': row['output'].upper()}\n")
    config = jobs.plan(source, data={"inputs": [str(source)], "transform": {"script": str(script)}})
    forge_gpu.prepare(config, output=tmp_path / "inside", settings=USE)
    forge_gpu.prepare(config, output=tmp_path / "host")
    assert jobs.content(tmp_path / "inside") == jobs.content(tmp_path / "host")
