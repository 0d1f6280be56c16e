"""Property 6: the selected container matches the detected hardware architecture."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.config.schema import HardwareConfig
from forge_gpu.container.images import arch_of, get_container_for_arch, image_for, variants
from forge_gpu.hardware.gpus import GPU
from forge_gpu.hardware.stack import REQUIREMENTS

capabilities = st.sampled_from(
    [(5, 2), (6, 1), (7, 0), (7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)]
)
drivers = st.integers(400, 620)


def gpus_of(result: list[tuple[int, int]]) -> list[GPU]:
    return [GPU(i, "a GPU", f"GPU-{i}", None, each, 2**34, 2**34, 0) for i, each in enumerate(result)]


@settings(deadline=None)
@given(st.lists(capabilities, max_size=4), drivers)
def test_container_consistency(result, driver):
    selected = image_for(gpus_of(result), f"{driver}.10")
    served = [
        variant
        for variant, (branch, least) in REQUIREMENTS.items()
        if driver >= branch and max(result, default=(0, 0)) >= least
    ]
    if not served:
        assert (selected.image, selected.variant) == (get_container_for_arch(None), "cpu")
        assert not selected.gpus
        return
    architecture = arch_of(max(result))
    assert selected.image == get_container_for_arch(architecture) == f"forge:{architecture}"
    assert selected.variant in served and architecture in variants()[selected.variant].architectures
    least = REQUIREMENTS[selected.variant][1]
    assert [gpu.compute_capability for gpu in selected.gpus] == [each for each in result if each >= least]


@given(capabilities)
def test_the_container_of_a_plan_is_that_of_its_hardware(capability):
    hardware = HardwareConfig(compute_capability=".".join(map(str, capability)), use_gpu_preprocessing=True)
    selected = image_for(gpus_of([capability]), "580.65")
    if selected.gpus:
        assert selected.image == get_container_for_arch(arch_of(hardware.compute_capability))
