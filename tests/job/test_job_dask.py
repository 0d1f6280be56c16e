"""Workers of a Dask cluster: the same bytes, whatever becomes of them."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time

import pytest

from forge_gpu.errors import ForgeError, Interrupted, StrictError
from forge_gpu.job.events.events import ChunkDone
from forge_gpu.job.run import cluster
from tests.job import jobs, similar

pytest.importorskip("distributed")
pytestmark = pytest.mark.dask

PREPROCESSING = {
    "dedup": {"near": {"action": "group"}},
    "split": {"group": "user", "stratify": "category"},
}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Two inputs, one of which has to be spooled, a bad row, an evaluation file, groups and a shuffle."""
    folder = tmp_path_factory.mktemp("dask")
    rows = similar.rows(400, seed=9)
    one = jobs.write_lines(folder / "one.jsonl", [*rows[:250], {"instruction": "no answer"}])
    two = folder / "two.jsonl.gz"
    two.write_bytes(gzip.compress(jobs.write_lines(folder / "two.jsonl", rows[250:]).read_bytes()))
    asked = jobs.write_lines(folder / "asked.jsonl", [{"question": rows[5]["instruction"]}])
    base = jobs.plan(one, two).data.model_dump()
    against = {"against": [str(asked)], "against_mapping": {"shape": "flat", "query": "question"}}
    return jobs.plan(data=base | against, preprocessing=PREPROCESSING, output={"order": "shuffled"})


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory) -> dict[str, str]:
    output = tmp_path_factory.mktemp("whole") / "out"
    result = jobs.run(config, output)
    assert result.counts["contaminated"] and result.counts["rejected"] and result.counts["duplicate"]
    return jobs.content(output)


def workers_of(process: int) -> list[int]:
    """The worker processes below a process: children of spawned processes that run a Dask worker."""
    import psutil

    result = []
    for child in psutil.Process(process).children(recursive=True):
        if "spawn_main" in " ".join(child.cmdline()):
            result.append(child.pid)
    return result


@pytest.mark.slow
def test_one_thread_two_threads_two_workers_and_a_resumed_run_give_the_same_bytes(
    config, whole, tmp_path
) -> None:
    jobs.run(config, tmp_path / "threads", threads=2, chunk_bytes=900)
    assert jobs.content(tmp_path / "threads") == whole

    with pytest.raises(Interrupted):
        jobs.run(config, tmp_path / "resumed", **jobs.stop_after(30))
    jobs.run(config, tmp_path / "resumed", threads=2)
    assert jobs.content(tmp_path / "resumed") == whole

    killed: list[int] = []

    def kill(event) -> None:
        """Kill a worker when the first range of each pass is done: others are in flight."""
        passes = ("index", "write")
        if isinstance(event, ChunkDone) and event.stage in passes[len(killed) : len(killed) + 1]:
            worker = workers_of(os.getpid())[0]
            os.kill(worker, signal.SIGKILL)
            killed.append(worker)

    jobs.run(config, tmp_path / "workers", workers=2, listener=kill)
    assert len(killed) == 2
    assert jobs.content(tmp_path / "workers") == whole
    assert not workers_of(os.getpid())


SCHEDULER = """
import asyncio, sys
from distributed import Scheduler, Worker
async def main():
    async with Scheduler(port=0, host="127.0.0.1", dashboard_address=None) as scheduler:
        async with Worker(scheduler.address, nthreads=1, host="127.0.0.1", dashboard_address=None):
            print(scheduler.address, flush=True)
            await scheduler.finished()
asyncio.run(main())
"""


ENCRYPTED = """
import asyncio, sys
from pathlib import Path
from distributed import Scheduler, Security, Worker
security = Security.temporary()
for name, text in {
    "ca.pem": security.tls_ca_file, "cert.pem": security.tls_client_cert, "key.pem": security.tls_client_key
}.items():
    Path(sys.argv[1], name).write_text(text)
at = {"host": "127.0.0.1", "security": security, "dashboard_address": None}
async def main():
    async with Scheduler(port=0, protocol="tls", **at) as scheduler:
        async with Worker(scheduler.address, nthreads=1, **at):
            print(scheduler.address, flush=True)
            await scheduler.finished()
asyncio.run(main())
"""


@pytest.mark.slow
def test_a_scheduler_with_certificates_takes_those_of_dasks_settings(tmp_path) -> None:
    dask = pytest.importorskip("dask")
    config = jobs.plan(jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(60)))
    jobs.run(config, tmp_path / "threads")
    command = [sys.executable, "-c", ENCRYPTED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address.startswith("tls://")
            with pytest.raises(ForgeError, match=r"tls://.*: name them in Dask's settings") as refused:
                jobs.run(config, tmp_path / "none", scheduler=address)
            assert "\n" not in str(refused.value)
            files = {"ca-file": "ca.pem", "client.cert": "cert.pem", "client.key": "key.pem"}
            named = {f"distributed.comm.tls.{key}": str(tmp_path / name) for key, name in files.items()}
            with dask.config.set(named):
                jobs.run(config, tmp_path / "out", scheduler=address)
        finally:
            process.kill()
    assert jobs.content(tmp_path / "out") == jobs.content(tmp_path / "threads")


@pytest.mark.slow
def test_a_dead_scheduler_leaves_a_checkpoint(config, whole, tmp_path) -> None:
    process = subprocess.Popen([sys.executable, "-c", SCHEDULER], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    done = 0

    def listen(event) -> None:
        nonlocal done
        done += isinstance(event, ChunkDone)
        if done == 4 and process.poll() is None:
            process.kill()
            process.wait()

    began = time.monotonic()
    with pytest.raises(ForgeError, match="the Dask cluster is gone"):
        jobs.run(config, tmp_path / "out", scheduler=address, listener=listen)
    assert time.monotonic() - began < 90
    assert len(list((tmp_path / "out/.forge/index").glob("*.index"))) >= 4
    result = jobs.run(config, tmp_path / "out")
    assert result.manifest["run"]["resumed"]
    assert jobs.content(tmp_path / "out") == whole


@pytest.mark.slow
def test_a_fault_of_a_row_is_told_as_in_a_thread(config, tmp_path) -> None:
    with pytest.raises(StrictError, match=r"one.jsonl: line 251 is rejected: missing_field"):
        jobs.run(config, tmp_path / "out", workers=1, strict=True)


def test_no_scheduler_is_one_line(config, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT", 1)
    with pytest.raises(ForgeError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9") as refused:
        jobs.run(config, tmp_path / "out", scheduler="tcp://127.0.0.1:9")
    assert "\n" not in str(refused.value)
