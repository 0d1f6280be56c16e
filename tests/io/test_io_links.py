"""What someone else put where a job writes is not followed or written to, and what is written is its own."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from forge_gpu.errors import OutputError
from forge_gpu.io import atomic, modes
from forge_gpu.io.atomic import PARTIAL, remove_temporary, replacing, write_atomic, write_checked
from forge_gpu.io.growing import GrowingFile
from forge_gpu.io.inputs import resolve
from forge_gpu.io.loss import Loss
from forge_gpu.io.spool import Spool, SpoolFile
from tests.job import jobs


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_bytes(b"precious")
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(60))


@pytest.mark.parametrize("link", [os.symlink, os.link])
@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_planted_links_are_not_written_through(
    tmp_path: Path, source: Path, victim: Path, format: str, link: Callable[[Path, Path], None]
) -> None:
    """With the names that a job would write in an earlier version, and those of an unfinished job."""
    output = tmp_path / "out"
    plan = jobs.plan(source, output={"format": format})
    jobs.run(plan, output)
    plain = jobs.content(output)
    for name in ("ledger.parquet", "manifest.json", "train.jsonl", "train.parquet", "rejected.jsonl"):
        link(victim, output / (name + PARTIAL))
    link(victim, output / "train.parquet.batches")
    jobs.run(plan, output, fresh=True)
    assert victim.read_bytes() == b"precious"
    left = {name: digest for name, digest in jobs.content(output).items() if PARTIAL not in name}
    assert left == plain


def test_forge_as_a_link_is_refused(tmp_path: Path, source: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out/.forge").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match=r"\.forge: is a link"):
        jobs.run(jobs.plan(source), tmp_path / "out")
    assert not any((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("name", ["index", "spool", "index/00000000.index", "spool/x.partial"])
def test_a_link_inside_forge_is_refused(tmp_path: Path, source: Path, victim: Path, name: str) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / "file").write_bytes(b"precious")
    place = tmp_path / "out/.forge" / name
    place.parent.mkdir(parents=True)
    place.symlink_to(target)
    with pytest.raises(OutputError, match="is a link"):
        jobs.run(jobs.plan(source), tmp_path / "out")
    assert (target / "file").read_bytes() == b"precious"


def test_temporary_names_cannot_be_foreseen_and_do_not_stay(tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        with replacing(tmp_path / "x") as beside:
            seen.append(beside.name)
            beside.write_bytes(b"1")
    assert len(set(seen)) == 2
    (tmp_path / seen[0]).write_bytes(b"left by a kill")
    (tmp_path / "mine.partial").write_bytes(b"")
    remove_temporary(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.partial", "x"]


@pytest.mark.parametrize("folder_mode", [0o700, 0o750, 0o777])
def test_files_are_for_whom_their_folder_is(tmp_path: Path, folder_mode: int) -> None:
    before = os.umask(0)
    try:
        tmp_path.chmod(folder_mode)
        write_atomic(tmp_path / "a", b"")
        write_checked(tmp_path / "b", b"")
        GrowingFile(tmp_path / "c").close()
    finally:
        os.umask(before)
    for name in "abc":
        assert mode(tmp_path / name) == folder_mode & 0o666 & ~0o002


@pytest.mark.parametrize(
    ("setting", "folder", "file"),
    [("umask", 0o775, 0o664), ("group", 0o750, 0o640), ("private", 0o700, 0o600)],
)
def test_the_mode_of_an_output(tmp_path: Path, source: Path, setting: str, folder: int, file: int) -> None:
    before = os.umask(0)
    try:
        jobs.run(jobs.plan(source, output={"mode": setting}), tmp_path / "out")
    finally:
        os.umask(before)
    assert mode(tmp_path / "out") == folder
    assert {mode(path) for path in (tmp_path / "out").iterdir() if path.is_file()} == {file}
    assert mode(tmp_path / "out/.forge") == 0o700


def test_an_output_that_others_could_read_becomes_private(tmp_path: Path, source: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o755)
    jobs.run(jobs.plan(source, output={"mode": "private"}), tmp_path / "out")
    assert mode(tmp_path / "out") == 0o700


def test_a_job_killed_in_its_clean_up_leaves_nothing(tmp_path: Path, source: Path) -> None:
    plan, forge = jobs.plan(source), tmp_path / "out/.forge"
    jobs.run(plan, tmp_path / "out")
    (forge / "index").mkdir()
    (forge / "index/00000000.index").write_bytes(b"")
    (forge / "decisions").mkdir()
    assert jobs.run(plan, tmp_path / "out").was_finished
    assert [path.name for path in forge.iterdir()] == ["job.json"]


def test_pipes_and_devices_in_a_folder_are_passed_over(tmp_path: Path, source: Path) -> None:
    (tmp_path / "data").mkdir()
    source.rename(tmp_path / "data/rows.jsonl")
    os.mkfifo(tmp_path / "data/pipe.jsonl")
    (tmp_path / "data/zero.jsonl").symlink_to("/dev/zero")
    for path in (tmp_path / "data", tmp_path / "data/*.jsonl"):
        skipped: dict[str, str] = {}
        files = resolve([str(path)], on_skip=skipped.__setitem__)
        assert [Path(file.path).name for file in files] == ["rows.jsonl"]
        assert sorted(Path(name).name for name in skipped) == ["pipe.jsonl", "zero.jsonl"]


def test_a_spooled_file_is_made_anew(tmp_path: Path, victim: Path) -> None:
    spool = Spool(tmp_path / "spool", 0)
    (tmp_path / "rows").write_bytes(b"12345")
    (file,) = resolve([str(tmp_path / "rows")])

    def write(spooled: SpoolFile, losses: list[Loss]) -> None:
        spooled.write(b"12345")

    content = spool.keep(file, ("test",), write).content
    assert isinstance(content, Path)
    content.unlink()
    content.with_name(content.name + PARTIAL).symlink_to(victim)
    spool.keep(file, ("test",), write)
    assert victim.read_bytes() == b"precious"


def test_a_new_folder_and_each_name_in_it_are_synced(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    for module in (modes, atomic):
        monkeypatch.setattr(module, "sync_folder", synced.append)
    jobs.run(jobs.plan(source), tmp_path / "out")
    assert synced[0] == tmp_path
    assert synced.count(tmp_path / "out") >= 4  # two splits, the ledger, the manifest
