from pathlib import Path

import pytest

from forge_gpu.hardware import cgroup
from forge_gpu.hardware.host import read_cores, read_disk, read_memory

GIB = 2**30


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def version2(root: Path, groups: dict[str, dict[str, str]], path: str) -> Path:
    files = {"proc/self/cgroup": f"0::{path}\n", "sys/fs/cgroup/cgroup.controllers": "cpu memory\n"}
    for group, values in groups.items():
        files |= {f"sys/fs/cgroup/{group}/{name}": text for name, text in values.items()}
    return tree(root, files)


def test_no_groups_at_all(tmp_path):
    assert cgroup.memory_limit(tmp_path) is None
    assert cgroup.memory_headroom(tmp_path) is None
    assert cgroup.cpu_quota(tmp_path) is None


def test_version_2_max_is_no_limit(tmp_path):
    root = version2(
        tmp_path, {"a": {"memory.max": "max\n", "memory.high": "max\n", "cpu.max": "max 100000\n"}}, "/a"
    )
    assert cgroup.memory_limit(root) is None
    assert cgroup.cpu_quota(root) is None


def test_version_2_the_tightest_ancestor_counts(tmp_path):
    groups = {
        "a": {"memory.max": str(4 * GIB), "memory.current": str(1 * GIB), "cpu.max": "150000 100000"},
        "a/b": {"memory.max": str(8 * GIB), "memory.current": "0", "cpu.max": "400000 100000"},
        "a/b/c": {"memory.max": "max"},
    }
    root = version2(tmp_path, groups, "/a/b/c")
    assert cgroup.memory_limit(root) == 4 * GIB
    assert cgroup.memory_headroom(root) == 3 * GIB
    assert cgroup.cpu_quota(root) == 1.5


def test_version_2_high_throttles_before_max(tmp_path):
    root = version2(tmp_path, {"a": {"memory.max": str(4 * GIB), "memory.high": str(2 * GIB)}}, "/a")
    assert cgroup.memory_limit(root) == 2 * GIB


def test_cached_files_are_room(tmp_path):
    values = {
        "memory.max": str(4 * GIB),
        "memory.current": str(3 * GIB),
        "memory.stat": f"anon 5\ninactive_file {GIB}\n",
    }
    assert cgroup.memory_headroom(version2(tmp_path, {"a": values}, "/a")) == 2 * GIB


def test_a_container_sees_its_own_group_as_the_root(tmp_path):
    root = version2(tmp_path, {".": {"memory.max": str(GIB)}}, "/docker/0123")
    assert cgroup.memory_limit(root) == GIB


@pytest.mark.parametrize(
    "text", ["9223372036854771712", "9223372036854775807", "18446744073709551615", "-1", "", "lots"]
)
def test_version_1_sentinels_are_no_limit(tmp_path, text):
    files = {
        "proc/self/cgroup": "4:memory:/job\n3:cpu,cpuacct:/job\n0::/\n",
        "sys/fs/cgroup/memory/job/memory.limit_in_bytes": text,
        "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "-1",
        "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000",
    }
    root = tree(tmp_path, files)
    assert cgroup.memory_limit(root) is None
    assert cgroup.cpu_quota(root) is None


def test_version_1_limit_of_an_unseen_ancestor(tmp_path):
    files = {
        "proc/self/cgroup": "4:memory:/job\n3:cpu:/job\n",
        "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "9223372036854771712",
        "sys/fs/cgroup/memory/job/memory.stat": (
            f"cache 1\nhierarchical_memory_limit {2 * GIB}\ntotal_inactive_file 100\n"
        ),
        "sys/fs/cgroup/memory/job/memory.usage_in_bytes": str(GIB),
        "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "250000",
        "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000",
    }
    root = tree(tmp_path, files)
    assert cgroup.memory_limit(root) == 2 * GIB
    assert cgroup.memory_headroom(root) == GIB + 100
    assert cgroup.cpu_quota(root) == 2.5


def test_a_path_never_leaves_the_hierarchy(tmp_path):
    root = version2(tmp_path, {"a": {"memory.max": str(GIB)}}, "/../../../a")
    (tmp_path.parent / "memory.max").write_text("5")
    assert cgroup.memory_limit(root) == GIB


def test_cores_are_cut_by_the_quota_but_never_below_one(tmp_path):
    root = version2(tmp_path, {"a": {"cpu.max": "50000 100000"}}, "/a")
    cores = read_cores(root)
    assert cores.allowed == 1
    assert cores.quota == 0.5


def test_memory_is_cut_by_the_limit(tmp_path):
    root = version2(tmp_path, {"a": {"memory.max": str(2**28), "memory.current": str(2**27)}}, "/a")
    memory = read_memory(root)
    assert (memory.total, memory.available, memory.limit) == (2**28, 2**27, 2**28)


def test_a_limit_above_the_machine_is_none(tmp_path):
    root = version2(tmp_path, {"a": {"memory.max": str(2**59), "memory.current": "0"}}, "/a")
    assert read_memory(root).limit is None


def test_disk_of_a_folder_that_is_not_there_yet(tmp_path):
    disk = read_disk(tmp_path / "not" / "yet")
    assert disk.folder == str(tmp_path)
    assert disk.free > 0
