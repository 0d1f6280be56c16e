"""What a command does from its start to the end of its process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.job import jobs

START = "from forge_gpu.cli.start import main; main()"
UNUSED = (
    "cudf",
    "cupy",
    "dask",
    "jinja2",
    "numba",
    "numpy.ma",
    "pandas",
    "psutil",
    "pyarrow.compute",
    "pyarrow.dataset",
    "rich",
    "forge_gpu.container",
    "forge_gpu.dedup.near",
    "forge_gpu.job.decide.clusters",
    "forge_gpu.job.rows.encoded",
    "forge_gpu.job.run.cluster",
    "forge_gpu.kernels.cpu.minhash",
    "forge_gpu.media.looker",
    "forge_gpu.quality.language",
    "forge_gpu.quality.rules",
    "forge_gpu.records.convert",
    "forge_gpu.sandbox",
    "forge_gpu.share.track.base",
    "forge_gpu.split.order",
    "forge_gpu.split.temporal",
    "forge_gpu.split.threshold",
    "forge_gpu.split.times",
    "forge_gpu.tokens",
)
"""What a job without media, scripts, tokens, converters, near-duplicates, rules, times, workers and trackers
does not take."""
MOST_MODULES = 330
"""Of the package, in such a job. Measured: 323. Each takes half a millisecond and more of the processor."""


def forge(before: str, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """A command as its script starts it, after some lines of Python."""
    command = [sys.executable, "-c", before + START, *arguments]
    return subprocess.run(command, text=True, capture_output=True, check=False, **options)  # type: ignore[call-overload]


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A plain plan, and its data."""
    source = jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(60))
    path = tmp_path / "forge.yaml"
    path.write_text(json.dumps(jobs.plan(source).model_dump(mode="json", exclude_unset=True)))
    return path


def test_a_plain_job_imports_no_more_than_it_takes(plan: Path) -> None:
    told = "import atexit, json, sys\n"
    told += "atexit.register(lambda: print('\\n' + json.dumps(sorted(sys.modules)), file=sys.stderr))\n"
    done = forge(told, "prepare", "--quiet", cwd=plan.parent)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    assert "forge_gpu.job.finish" in loaded
    assert loaded & set(UNUSED) == set()
    assert sum(name.startswith("forge_gpu") for name in loaded) <= MOST_MODULES


def test_all_that_was_written_arrives_through_a_pipe(plan: Path) -> None:
    """Also what a library writes at the end of the process, and more than a pipe holds."""
    late = "import atexit\natexit.register(lambda: print('x' * 200_000))\n"
    done = forge(late, "prepare", "--json", cwd=plan.parent)
    result, last = done.stdout.rsplit("\n", 2)[:2]
    assert done.returncode == 0 and last == "x" * 200_000
    assert json.loads(result)["counts"]["train"] > 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("--version",), 0), (("prepare", "--config", "none.yaml"), 1), (("prepare", "--nonsense"), 2)],
)
def test_the_exit_code_is_that_of_the_command(tmp_path: Path, arguments: tuple[str, ...], code: int) -> None:
    assert forge("", *arguments, cwd=tmp_path).returncode == code


def test_a_thread_that_still_works_ends_first(tmp_path: Path) -> None:
    working = "import threading, time\n"
    working += "work = lambda: (time.sleep(1), print('worked'))\n"
    working += "threading.Thread(target=work).start()\n"
    done = forge(working, "--version", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.endswith("worked\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_output_that_cannot_be_written_is_no_success(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", START, "--version"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode != 0


def test_who_reads_may_go_before_the_end(plan: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", START, "prepare", "--json"]
    done = subprocess.run(command, cwd=plan.parent, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert done.returncode != 0 and b"Traceback" not in done.stderr
