"""Links that someone planted where a command writes lead nothing elsewhere: outputs of each format, plans,
scripts, logs, events, metrics, the history and mapped tokens."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forge_gpu.config.schema import Config
from forge_gpu.config.write import save
from forge_gpu.errors import OutputError
from forge_gpu.io import atomic
from forge_gpu.io.atomic import PARTIAL
from forge_gpu.io.sinks.registry import NAMES, OF_MESSAGES, OF_TOKENS
from forge_gpu.job.events.file import EventFile
from forge_gpu.loading.mapped import MAPPED, mapped_split
from forge_gpu.report import history
from forge_gpu.report.log import JobLog
from forge_gpu.report.metrics import Metrics
from forge_gpu.scripts.generate import ModelAwareScriptGenerator
from forge_gpu.share.prepared import open_prepared
from tests.job import jobs
from tests.job.test_job_tokens import plan, talks
from tests.tokens.made import document

PRECIOUS = b"precious"
LINKS = [os.symlink, os.link]
Link = Callable[[Path, Path], None]


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_bytes(PRECIOUS)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model")
    (made / "tokenizer.json").write_text(document("qwen"))
    jobs.write_lines(made / "rows.jsonl", talks(60))
    return made


def config_of(model: Path, format: str) -> Config:
    holds = OF_TOKENS.get(format)
    tokens: dict[str, Any] = {} if holds is None or holds.labels else {"train": "all"}
    if format in OF_MESSAGES:
        data = {"mapping": {"shape": "conversation", "messages": "messages"}}
        return plan(model / "rows.jsonl", model, data=data, output={"form": "messages", "format": format})
    return plan(model / "rows.jsonl", model, tokens, output={"form": "tokens", "format": format})


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("format", NAMES)
def test_no_format_writes_through_links(
    format: str, link: Link, model: Path, tmp_path: Path, victim: Path
) -> None:
    """At each name that a job gives a file, and at those that it has meanwhile."""
    output, config = tmp_path / "out", config_of(model, format)
    jobs.run(config, output)
    plain = jobs.content(output)
    for name in plain.keys() - {"manifest.json"}:
        (output / name).unlink()
        link(victim, output / name)
        for unfinished in (name + PARTIAL, name + ".batches", name + ".lengths" + PARTIAL):
            link(victim, output / unfinished)
    jobs.run(config, output, fresh=True)
    assert {name: digest for name, digest in jobs.content(output).items() if name in plain} == plain
    assert not any((output / name).is_symlink() for name in plain)
    assert victim.read_bytes() == PRECIOUS


@pytest.mark.parametrize("format", ["swift", "mds", "litdata", "llamafactory"])
def test_a_folder_of_a_split_that_is_a_link_is_refused(format: str, model: Path, tmp_path: Path) -> None:
    config = config_of(model, format)
    jobs.run(config, tmp_path / "whole")
    folders = [path.name for path in (tmp_path / "whole").iterdir() if path.is_dir() and path.name[0] != "."]
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    for name in folders:
        (tmp_path / "out" / name).symlink_to(tmp_path / "elsewhere")
    assert folders
    with pytest.raises(OutputError, match="is a link"):
        jobs.run(config, tmp_path / "out")
    assert not any((tmp_path / "elsewhere").iterdir())


def log_to(path: Path) -> None:
    JobLog(str(path), "info", []).close()


def events_to(path: Path) -> None:
    EventFile.open(path).close()


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("begin", [log_to, events_to])
def test_what_is_appended_to_is_no_link(
    begin: Callable[[Path], None], link: Link, tmp_path: Path, victim: Path
) -> None:
    victim.write_bytes(b"")
    link(victim, tmp_path / "run.jsonl")
    with pytest.raises(OutputError, match=r"run.jsonl: .*is a link"):
        begin(tmp_path / "run.jsonl")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    with pytest.raises(OutputError, match=r"dangling: .*is a link"):
        begin(tmp_path / "dangling")
    assert not (tmp_path / "nothing").exists() and not victim.read_bytes()


def test_pipes_devices_and_links_of_the_system_are_written_to(tmp_path: Path) -> None:
    for path in (Path("/dev/null"), Path("/proc/self/fd/1"), tmp_path / "new"):
        os.close(atomic.open_to_append(path, 0o600))


@pytest.mark.parametrize("link", LINKS)
def test_metrics_replace_a_link(link: Link, tmp_path: Path, victim: Path) -> None:
    for name in ("forge.prom", "forge.prom" + PARTIAL):
        link(victim, tmp_path / name)
    Metrics(str(tmp_path / "forge.prom")).close()
    assert victim.read_bytes() == PRECIOUS
    assert not (tmp_path / "forge.prom").is_symlink()


@pytest.mark.parametrize("link", LINKS)
def test_the_history_is_not_appended_to_a_link(
    link: Link, tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(history, "MOST", 2)
    place = history.history_file()
    place.parent.mkdir(parents=True)
    link(victim, place.with_suffix(PARTIAL))
    for _ in range(5):
        history._append(place, b"{}\n")
    assert place.read_bytes() == b"{}\n" * 3
    place.unlink()
    link(victim, place)
    with pytest.raises(OSError, match="is a link"):
        history._append(place, b"{}\n")
    assert victim.read_bytes() == PRECIOUS


def test_a_plan_is_written_under_a_name_that_nobody_foresees(
    tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where the name is there nevertheless, nothing is written to it."""
    save(tmp_path / "forge.yaml", Config(goal="one"), {})
    monkeypatch.setattr("secrets.token_hex", lambda size: "0" * 2 * size)
    planted = tmp_path / f"forge.yaml.{'0' * 16}{PARTIAL}"
    planted.symlink_to(victim)
    with pytest.raises(FileExistsError):
        save(tmp_path / "forge.yaml", Config(goal="two"), {})
    assert victim.read_bytes() == PRECIOUS
    monkeypatch.undo()
    for name in ("forge.yaml.bak", f".forge.yaml.{os.getpid()}.tmp"):
        (tmp_path / name).unlink(missing_ok=True)
        (tmp_path / name).symlink_to(victim)
    save(tmp_path / "forge.yaml", Config(goal="three"), {})
    (tmp_path / "forge.yaml").unlink()
    (tmp_path / "forge.yaml").symlink_to(victim)
    victim.write_text("goal: four\n")
    save(tmp_path / "forge.yaml", Config(goal="five"), {})
    assert victim.read_text() == "goal: four\n"


@pytest.mark.parametrize("plain", [True, False])
def test_a_script_does_not_write_through_links(plain: bool, tmp_path: Path, victim: Path) -> None:
    source = jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(30))
    text = ModelAwareScriptGenerator(tmp_path, plain).generate_script(jobs.plan(source), [])
    (tmp_path / "script.py").write_text(text)
    (tmp_path / "out").mkdir()
    for name in ("train.jsonl", "validation.jsonl", "test.jsonl"):
        (tmp_path / "out" / name).symlink_to(victim)
        (tmp_path / "out" / (name + PARTIAL)).symlink_to(victim)
    subprocess.run([sys.executable, "script.py", "out"], cwd=tmp_path, capture_output=True, check=plain)
    assert victim.read_bytes() == PRECIOUS
    assert plain <= (tmp_path / "out/train.jsonl").is_file()


@pytest.mark.parametrize("name", [".forge", f".forge/{MAPPED}"])
def test_mapped_tokens_are_not_made_through_a_link(
    name: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are made in the user's cache then."""
    monkeypatch.setattr("forge_gpu.loading.mapped.cache_folder", lambda: tmp_path / "cache/kernels/x")
    jobs.run(config_of(model, "jsonl"), tmp_path / "out")
    (tmp_path / "elsewhere").mkdir()
    shutil.rmtree(tmp_path / "out" / name, ignore_errors=True)
    (tmp_path / "out" / name).symlink_to(tmp_path / "elsewhere")
    assert len(mapped_split(open_prepared(tmp_path / "out"), "train").ids)
    assert not any((tmp_path / "elsewhere").iterdir())
    assert any((tmp_path / "cache" / MAPPED).iterdir())
