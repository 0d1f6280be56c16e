"""`forge_gpu.plan`: what `forge plan` chooses, without writing or printing anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import forge_gpu
from forge_gpu.errors import ConfigError, InputError, TemplateError
from tests.job import jobs

HEAVY = ("numba", "pandas", "pyarrow", "dask", "cudf")
UNUSED = ("pandas", "dask", "cudf", "cupy", "rich", "jinja2", "pyarrow.compute", "pyarrow.dataset")
"""By a job from JSON lines with a built-in template. fsspec may be there: numba loads the extensions of what
is installed, and awkward, which comes with the extra `tokens`, has one that loads it."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(60))


@pytest.mark.parametrize(
    "first", ["import forge_gpu", "import forge_gpu; forge_gpu.ForgeConfig; forge_gpu.ForgeError"]
)
def test_the_import_is_light(first: str) -> None:
    code = f"{first}; import sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    reported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert reported.stdout == "[]\n" and reported.stderr == ""


def test_a_job_loads_only_what_its_plan_needs(source: Path, tmp_path: Path) -> None:
    config = jobs.plan(source).model_dump_json()
    code = (
        "import sys, forge_gpu\n"
        f"config = forge_gpu.ForgeConfig.model_validate_json({config!r})\n"
        f"forge_gpu.prepare(config, output={str(tmp_path / 'out')!r})\n"
        f"print([name for name in {UNUSED!r} if name in sys.modules])"
    )
    reported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert reported.stdout == "[]\n" and reported.stderr == ""


def test_a_plan_is_prepared_as_its_settings_are(source: Path, tmp_path: Path) -> None:
    plan = forge_gpu.plan("support assistant", data=source, template="chatml")
    for given, name in ((plan, "whole"), (plan.config, "config")):
        forge_gpu.prepare(given, output=tmp_path / name)
    assert (tmp_path / "whole/train.jsonl").read_bytes() == (tmp_path / "config/train.jsonl").read_bytes()


def test_every_public_name_is_there_and_no_other() -> None:
    for name in forge_gpu.__all__:
        assert getattr(forge_gpu, name) is not None
    with pytest.raises(AttributeError, match="prepair"):
        _ = forge_gpu.prepair


def test_a_plan_says_what_it_chose_and_why(source: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plan = forge_gpu.plan("support assistant", data=source, template="chatml")
    mapping = plan.config.data.mapping
    assert (mapping.query, mapping.input, mapping.response) == ("instruction", "input", "output")
    assert plan.config.model.template_kind == "builtin"
    assert "instruction" in plan.reasons["data.mapping.query"]
    assert list(source.parent.iterdir()) == [source]
    assert capfd.readouterr() == ("", "")


def test_paths_are_one_or_many(source: Path) -> None:
    one = forge_gpu.plan(data=str(source), template="chatml")
    many = forge_gpu.plan(data=[source], template="chatml")
    assert one.config == many.config


def test_a_saved_plan_is_the_plan(source: Path, tmp_path: Path) -> None:
    from forge_gpu.config.load import load

    plan = forge_gpu.plan(data=source, template="alpaca", settings=["preprocessing.seed=7"])
    assert plan.save(tmp_path / "forge.yaml") is None
    assert load(tmp_path / "forge.yaml", environ={}).config == plan.config
    assert plan.config.preprocessing.seed == 7


def test_faults_are_raised(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no data"):
        forge_gpu.plan()
    with pytest.raises(InputError, match="nothing"):
        forge_gpu.plan(data=tmp_path / "nothing.jsonl", template="chatml")
    with pytest.raises(TemplateError, match="chatml"):
        forge_gpu.plan(data=source, template="chatm")
    with pytest.raises(ConfigError, match=r"preprocessing\.seed"):
        forge_gpu.plan(data=source, template="chatml", settings=["preprocessing.sed=7"])
