"""A job in a container is the host's job: bytes, events, errors, signals, standard input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import forge_gpu
from forge_gpu.cli.stopping import stopping_at_signals
from forge_gpu.container.makers import makers
from forge_gpu.errors import ConfigError, ContainerError, InputError, Interrupted, StrictError
from forge_gpu.events import ChunkDone, Entry, JobEnded, JobFailed, JobStarted, Sampled
from forge_gpu.report.live.note import read_live
from tests.container.stand_in import CHECKOUT
from tests.job import jobs

USE = ["container.use=forge:cpu"]


def on_host(source: Path, folder: Path) -> dict[str, str]:
    forge_gpu.prepare(jobs.plan(source), output=folder)
    return jobs.content(folder)


def test_the_bytes_are_the_hosts_and_the_manifest_says_where(stand_in, source, tmp_path):
    result = forge_gpu.prepare(jobs.plan(source), output=tmp_path / "inside", settings=USE)
    assert jobs.content(tmp_path / "inside") == on_host(source, tmp_path / "host")
    assert result.output == tmp_path / "inside" and not result.was_finished
    assert '"samples":[{' in (tmp_path / "inside/report.html").read_text()
    live = read_live(tmp_path / "inside")
    assert live is not None and live["outcome"]["kind"] == "done" and live["fates"] == result.counts
    assert result.manifest["run"]["surroundings"] == {
        "container_engine": "docker 1.0",
        "image": "forge:cpu",
        "digest": "sha256:1234",
    }
    assert stand_in.containers() == []
    assert forge_gpu.prepare(jobs.plan(source), output=tmp_path / "inside", settings=USE).was_finished


def test_listeners_hear_the_job_and_nothing_twice(stand_in, source, tmp_path):
    entries: list[Entry] = []
    forge_gpu.prepare(jobs.plan(source), output=tmp_path / "out", settings=USE, listeners=[entries.append])
    kinds = [type(entry.event) for entry in entries]
    assert kinds.count(JobStarted) == kinds.count(JobEnded) == 1 and kinds[-1] is JobEnded
    assert [entry.n for entry in entries] == list(range(len(entries)))
    assert len({entry.run for entry in entries}) == 1
    written = [e.event for e in entries if isinstance(e.event, ChunkDone) and e.event.stage == "write"]
    assert written[-1].rows_so_far == 300
    host = [e.event.memory for e in entries if isinstance(e.event, Sampled)]
    assert all(memory > 0 for memory in host)


def test_a_job_goes_on_from_the_container_on_the_host(stand_in, source, tmp_path):
    folder = tmp_path / "out"
    stand_in.play({"job": True, "killed_at": str(folder / ".forge" / "decisions")})
    with pytest.raises(ContainerError) as raised:
        forge_gpu.prepare(jobs.plan(source), output=folder, settings=USE)
    assert raised.value.exit_code == 137
    result = forge_gpu.prepare(jobs.plan(source), output=folder)
    assert result.manifest["run"]["resumed"]
    assert jobs.content(folder) == on_host(source, tmp_path / "host")


def test_a_job_goes_on_from_the_host_in_the_container(stand_in, source, tmp_path):
    looks = 0

    def count() -> None:
        nonlocal looks
        looks += 1

    forge_gpu.prepare(jobs.plan(source), output=tmp_path / "host", check_stop=count)
    last = looks

    def stop_at_the_last() -> None:
        count()
        if looks == 2 * last:
            raise Interrupted(signal.SIGINT)

    folder = tmp_path / "out"
    with pytest.raises(Interrupted):
        forge_gpu.prepare(jobs.plan(source), output=folder, check_stop=stop_at_the_last)
    result = forge_gpu.prepare(jobs.plan(source), output=folder, settings=USE)
    assert result.manifest["run"]["resumed"] and result.manifest["run"]["surroundings"]
    assert jobs.content(folder) == jobs.content(tmp_path / "host")


def test_the_container_may_do_the_least(stand_in, source, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "do not tell")
    forge_gpu.prepare(jobs.plan(source), output=tmp_path / "out", settings=USE)
    [words] = stand_in.calls("create")
    for option, value in {
        "--cap-drop": "ALL",
        "--security-opt": "no-new-privileges",
        "--network": "none",
        "--pull": "never",
        "--user": f"{os.getuid()}:{os.getgid()}",
        "--log-driver": "none",
    }.items():
        assert words[words.index(option) + 1] == value
    assert {"--read-only", "--init", "--memory", "--memory-swap", "--pids-limit", "--tmpfs"} <= set(words)
    mounts = [words[i + 1] for i, word in enumerate(words) if word == "--mount"]
    assert f"type=bind,source={source},target={source},readonly" in mounts
    assert f"type=bind,source={tmp_path}/out,target={tmp_path}/out" in mounts
    assert not any("AWS" in word or "do not tell" in word for word in words)


@pytest.mark.parametrize(
    ("settings", "kind", "code"),
    [
        ({"data": {"inputs": ["nothing.jsonl"]}}, InputError, 2),
        ({"data": {"max_rejected": 0}}, StrictError, 2),
    ],
)
def test_an_error_is_the_one_of_the_host(stand_in, source, tmp_path, settings, kind, code):
    with source.open("a") as file:
        file.write("{ no json\n")
    reported = []
    for use in (USE, []):
        with pytest.raises(kind) as raised:
            forge_gpu.prepare(jobs.plan(source, **settings), output=tmp_path / f"o{len(use)}", settings=use)
        assert raised.value.exit_code == code
        reported.append(str(raised.value))
    assert reported[0] == reported[1]


def test_a_failed_job_tells_so_once(stand_in, source, tmp_path):
    entries: list[Entry] = []
    with source.open("a") as file:
        file.write("{ no json\n")
    with pytest.raises(StrictError):
        forge_gpu.prepare(
            jobs.plan(source),
            output=tmp_path / "out",
            settings=USE,
            strict=True,
            listeners=[entries.append],
        )
    failures = [entry.event for entry in entries if isinstance(entry.event, JobFailed)]
    assert [failed.exit_code for failed in failures] == [2] and entries[-1].event is failures[0]


def test_standard_input_goes_into_the_container(stand_in, source, tmp_path):
    on_host(source, tmp_path / "host")
    plan = tmp_path / "forge.yaml"
    from forge_gpu.config.write import save

    save(plan, jobs.plan(source), {})
    code = "from forge_gpu.cli.app import main; main()"
    with source.open("rb") as lines:
        done = subprocess.run(
            [sys.executable, "-c", code, "prepare", "-", "--config", plan, "--container", "forge:cpu"],
            cwd=tmp_path,
            stdin=lines,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "prepared" / "train.jsonl").read_bytes() == (
        tmp_path / "host" / "train.jsonl"
    ).read_bytes()


def test_ctrl_c_is_passed_on_and_a_second_one_kills(stand_in, source, tmp_path):
    hello = {"hello": {"protocol": 1, "version": forge_gpu.__version__, "makers": makers()}}
    stand_in.play({"lines": [hello], "sleeps": True})

    def press_twice() -> None:
        for happened in (stand_in.is_running, lambda: stand_in.calls("kill")):
            while not happened():
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press_twice, daemon=True).start()
    with stopping_at_signals() as check, pytest.raises(Interrupted) as raised:
        forge_gpu.prepare(jobs.plan(source), output=tmp_path / "out", settings=USE, check_stop=check)
    assert raised.value.exit_code == 130
    assert [call[1] for call in stand_in.calls("kill")] == ["SIGINT", "KILL"]


def test_a_memory_limit_below_what_forge_needs_is_refused(stand_in, source, tmp_path):
    with pytest.raises(ConfigError, match=r"container\.memory: must be"):
        forge_gpu.prepare(
            jobs.plan(source), output=tmp_path / "o", settings=[*USE, "container.memory=100000000"]
        )
    with pytest.raises(ConfigError, match=r"container\.memory"):
        forge_gpu.prepare(
            jobs.plan(source),
            output=tmp_path / "o",
            settings=[*USE, "container.memory=300000000", "preprocessing.memory.budget=200000000"],
        )
    assert stand_in.calls("create") == []


def test_another_version_of_forge_is_refused_before_it_gets_the_job(stand_in, source, tmp_path):
    stand_in.play({"lines": [{"hello": {"protocol": 1, "version": "0.0.1"}}], "code": 0})
    with pytest.raises(ContainerError, match=r"holds Forge 0\.0\.1.*forge image build") as raised:
        forge_gpu.prepare(jobs.plan(source), output=tmp_path / "out", settings=USE)
    assert raised.value.exit_code == 69


def test_a_url_needs_a_network_and_its_keys_go_by_name(stand_in, source, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "do not tell")
    monkeypatch.setenv("UNRELATED_TOKEN", "do not tell")
    plan = jobs.plan(source)
    target = {"output": "s3://bucket/prepared", "staging": tmp_path / "staged"}
    with pytest.raises(ConfigError, match=r"s3://bucket/prepared.*container\.network=bridge"):
        forge_gpu.prepare(plan, settings=USE, **target)
    stand_in.play({"code": 1, "says": "the end"})
    with pytest.raises(ContainerError):
        forge_gpu.prepare(plan, settings=[*USE, "container.network=bridge"], **target)
    [words] = stand_in.calls("create")
    assert words[words.index("AWS_SECRET_ACCESS_KEY") - 1] == "--env"
    assert words[words.index("--network") + 1] == "bridge"
    assert "do not tell" not in json.dumps(words) and "UNRELATED_TOKEN" not in words


def test_the_program_runs_no_file_of_the_folder_it_works_in():
    done = subprocess.run(
        [sys.executable, "-P", "-m", "forge_gpu.report.inside"],
        cwd=CHECKOUT,
        input=b"no job\n",
        capture_output=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert list(lines[0]) == ["hello"] and list(lines[1]) == ["error"] and done.returncode == 2
