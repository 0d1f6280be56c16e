"""A job that is killed while it copies goes on to the same files."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import forge_gpu
from forge_gpu.errors import InputError
from forge_gpu.io.atomic import PARTIAL, write_several
from tests.job import jobs
from tests.media.files import image, put
from tests.media.test_media_files import ALL, data_of

ROOT = Path(__file__).parents[2]
ROWS = 40
SMALL = {"chunk_bytes": 2400, "range_bytes": 4000}
KILLED = """
import os, signal, sys
from pathlib import Path
from forge_gpu.config.load import load
from forge_gpu.job import block_pass
from forge_gpu.media import placed
from tests.job import jobs
block_pass.SAVE_EVERY = 0.0
copies, copy = 0, placed._copy
def copied(source, sha256, place):
    global copies
    copies += 1
    if copies == int(sys.argv[3]):
        place.write_bytes(source.read_bytes()[:40])
        os.kill(os.getpid(), signal.SIGKILL)
    copy(source, sha256, place)
placed._copy = copied
config = load(Path(sys.argv[1])).config
jobs.run(config, Path(sys.argv[2]), threads=1, chunk_bytes=2400, range_bytes=4000)
"""


def media_of(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((output / "media").glob("*/*"))}


def test_a_job_killed_in_a_copy_goes_on_to_the_same_files(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(ROWS)]
    for number, name in enumerate(names):
        put(tmp_path / "data", name, image(number))
    data = data_of(tmp_path / "data", names)
    plan = forge_gpu.plan(data=data, settings=[*ALL, "output.media=copy"], force=True)
    plan.save(tmp_path / "forge.yaml")
    jobs.run(plan.config, tmp_path / "whole", **SMALL)
    output = tmp_path / "killed"
    command = [sys.executable, "-c", KILLED, str(tmp_path / "forge.yaml"), str(output), "25"]
    assert subprocess.run(command, cwd=ROOT, timeout=120).returncode == -signal.SIGKILL
    files = media_of(output)
    assert any(name.endswith(PARTIAL) for name in files)
    whole = {name: content for name, content in files.items() if not name.endswith(PARTIAL)}
    assert all(hashlib.sha256(content).hexdigest() == Path(name).stem for name, content in whole.items())
    assert whole and len(whole) < ROWS
    result = jobs.run(plan.config, output, **SMALL)
    assert not result.was_finished
    assert jobs.content(output) == jobs.content(tmp_path / "whole")
    assert media_of(output) == media_of(tmp_path / "whole") and len(media_of(output)) == ROWS


def test_of_several_files_none_is_there_where_one_fails(tmp_path: Path) -> None:
    def good(place: Path) -> None:
        place.write_bytes(b"good")

    def bad(place: Path) -> None:
        raise InputError("changed")

    write_several({tmp_path / name: good for name in "ab"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    with pytest.raises(InputError):
        write_several({tmp_path / "c": good, tmp_path / "d": bad})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
