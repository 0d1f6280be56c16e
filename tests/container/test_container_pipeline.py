"""`DockerPreprocessor`: a script in the container of the plan's architecture."""

from __future__ import annotations

import os

import pytest

from forge_gpu.config.schema import Config
from forge_gpu.errors import ContainerError, InputError
from forge_gpu.pipeline import DockerPreprocessor
from tests.container.real import IMAGE

GPU = {"compute_capability": "9.0", "gpu_arch": "Hopper", "use_gpu_preprocessing": True}
SCRIPT = """
import os, sys
data, output = sys.argv[1:]
print("as", os.getuid())
open(os.path.join(output, "copy"), "w").write(open(data).read().upper())
try:
    open(data, "w")
except OSError as fault:
    print("the data:", fault.strerror)
raise SystemExit(3 * (len(os.listdir(output)) > 1))
"""


def test_the_container_is_that_of_the_architecture():
    assert DockerPreprocessor(Config()).container_name == "forge:cpu"
    assert DockerPreprocessor(Config.model_validate({"hardware": GPU})).container_name == "forge:sm_90"


def test_what_is_lacking_is_told(stand_in):
    stand_in.install(images={})
    with pytest.raises(ContainerError, match="docker has no image forge:cpu"):
        DockerPreprocessor(Config()).prepare_container()


def test_the_system_is_no_data(stand_in, tmp_path):
    with pytest.raises(InputError, match="lies in /etc"):
        DockerPreprocessor(Config()).execute_preprocessing("", "/etc/hostname", tmp_path / "out")
    assert stand_in.calls("create") == []


@pytest.mark.docker
@pytest.mark.slow
def test_a_script_reads_data_and_writes_the_output_folder(real_engine, source, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{real_engine.path}:{os.environ['PATH']}")
    preprocessor = DockerPreprocessor(Config())
    preprocessor.container_name = IMAGE
    lines: list[str] = []
    before = source.read_text()
    run = preprocessor.execute_preprocessing
    assert run(SCRIPT, source, tmp_path / "out", on_line=lines.append)
    assert lines == [f"as {os.getuid()}", "the data: Read-only file system"]
    assert (tmp_path / "out" / "copy").read_text() == before.upper() and source.read_text() == before
    (tmp_path / "out" / "other").touch()
    assert not run(SCRIPT, source, tmp_path / "out", on_line=lines.append)
