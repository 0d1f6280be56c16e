"""Names of images, levels of processors, and what a container gets of kernels."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

import forge_gpu
from forge_gpu.container.engines import Image
from forge_gpu.container.images import arch_of, get_container_for_arch, image_for, variants
from forge_gpu.container.kernels import level_of, variables
from forge_gpu.container.levels import best_level, environment, levels
from forge_gpu.container.makers import SUFFIXES
from forge_gpu.hardware.gpus import GPU
from forge_gpu.hardware.stack import REQUIREMENTS
from tests.container.stand_in import IMAGE
from tests.job import jobs

ROOT = Path(__file__).parents[2]
V3 = "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3 abm avx avx2 bmi1 bmi2 f16c fma movbe xsave avx512f lm"  # no v4


def gpu(capability: tuple[int, int] | None, index: int = 0) -> GPU:
    return GPU(index, "a GPU", f"GPU-{index}", None, capability, 2**34, 2**34, 0)


def machine(monkeypatch: pytest.MonkeyPatch, root: Path, name: str, flags: str) -> Path:
    monkeypatch.setattr(platform, "machine", lambda: name)
    (root / "proc").mkdir()
    (root / "proc" / "cpuinfo").write_text(f"processor: 0\nflags\t\t: {flags}\n")
    return root


@pytest.mark.parametrize(
    ("capabilities", "driver", "image", "variant", "usable"),
    [
        ([], None, "forge:cpu", "cpu", []),
        ([(9, 0)], "580.65", "forge:sm_90", "cu13", [0]),
        ([(9, 0)], "550.54", "forge:sm_90", "cu12", [0]),
        ([(9, 0)], "470.1", "forge:cpu", "cpu", []),
        ([(7, 0)], "580.65", "forge:sm_70", "cu12", [0]),
        ([(7, 0), (8, 0)], "580.65", "forge:sm_80", "cu13", [1]),
        ([(6, 1)], "580.65", "forge:cpu", "cpu", []),
        ([None], "580.65", "forge:cpu", "cpu", []),
    ],
)
def test_the_image_of_a_machine(capabilities, driver, image, variant, usable):
    chosen = image_for([gpu(capability, i) for i, capability in enumerate(capabilities)], driver)
    assert (chosen.image, chosen.variant) == (image, variant)
    assert [device.index for device in chosen.gpus] == usable


def test_variants_are_those_of_the_stack_and_their_files_are_there():
    assert set(variants()) == {"cpu", *REQUIREMENTS}
    for name, variant in variants().items():
        assert (ROOT / variant.file).is_file()
        least = REQUIREMENTS.get(name, (0, (0, 0)))[1]
        assert all(int(arch[3:]) >= least[0] * 10 + least[1] for arch in variant.architectures)
        assert variant.tags == [get_container_for_arch(arch) for arch in variant.architectures]
    assert arch_of("10.0") == arch_of((10, 0)) == "sm_100" and arch_of(None) is None


def test_levels_of_a_processor(tmp_path, monkeypatch):
    root = machine(monkeypatch, tmp_path, "x86_64", V3)
    assert levels(root) == ["x86-64-v2", "x86-64-v3"]
    assert best_level(["x86-64-v2", "x86-64-v4"], root) == "x86-64-v2"
    assert best_level([], root) is None and best_level(["x86-64-v4"], root) is None


def test_arm_has_a_level_of_its_own_whatever_the_flags_of_an_emulators_host(tmp_path, monkeypatch):
    root = machine(monkeypatch, tmp_path, "aarch64", V3)
    assert levels(root) == ["armv8-a"] and best_level(["x86-64-v3", "armv8-a"], root) == "armv8-a"
    assert environment("armv8-a", tmp_path)["NUMBA_CPU_NAME"] == "generic"


def test_other_machines_have_no_level(tmp_path, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert levels(tmp_path) == []
    assert levels(machine(monkeypatch, tmp_path, "riscv64", V3)) == []


def test_kernels_come_from_the_image_or_else_from_a_volume():
    held = Image("id", {"forge.levels": ",".join(levels())})
    level = level_of(held)
    assert (level is None) == (levels() == [])
    if level:
        assert variables(level, None)["FORGE_CACHE_DIR"] == f"/var/cache/forge/{level}"
    assert level_of(Image("id", {})) is None
    assert variables(None, "v") == {"FORGE_CACHE_DIR": "/var/cache/forge-volume"}
    assert variables(None, None) == {}


@pytest.mark.parametrize("cache", ["auto", "mine", "off"])
def test_a_volume_is_made_where_the_image_has_no_kernels(stand_in, source, tmp_path, cache):
    settings = ["container.use=forge:cpu", f"container.cache={cache}"]
    stand_in.volumes_are_lacking()
    forge_gpu.prepare(jobs.plan(source), output=tmp_path / "out", settings=settings)
    [words] = stand_in.calls("create")
    volumes = [word for word in words if word.startswith("type=volume")]
    name = {"auto": f"forge-kernels-{os.getuid()}", "mine": "mine"}.get(cache)
    created = [call[-1] for call in stand_in.calls("volume") if call[0] == "create"]
    assert created == ([] if name is None else [name])
    assert volumes == [f"type=volume,source={each},target=/var/cache/forge-volume" for each in created]


def test_an_image_with_kernels_gets_no_volume(stand_in, source, tmp_path):
    if not levels():
        pytest.skip("this processor has no level")
    labels = {"forge.variant": "cpu", "forge.levels": levels()[0]}
    stand_in.install(images={"forge:cpu": IMAGE | {"Config": {"Labels": labels}}})
    forge_gpu.prepare(jobs.plan(source), output=tmp_path / "out", settings=["container.use=forge:cpu"])
    [words] = stand_in.calls("create")
    assert f"NUMBA_CPU_NAME={levels()[0]}" in words and not stand_in.calls("volume")


@pytest.mark.parametrize("room", ["hardware", "media", "quality", "records", "templates"])
def test_files_that_make_bytes_tell_one_image_from_another(room):
    files = [path for path in (ROOT / "forge_gpu" / room).rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {*SUFFIXES, ".pyc"}
