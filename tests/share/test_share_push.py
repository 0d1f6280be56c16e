"""A push, to a hub on this machine by the hub's own client: whole or not there, resumable, and no secrets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from forge_gpu.errors import ConfigError, ForgeError, InputError, OutputError
from forge_gpu.share.card.write import write_card
from forge_gpu.share.push import push as pushing
from forge_gpu.share.push.address import parse
from forge_gpu.share.push.push import push
from tests.job.jobs import rows
from tests.share.made import prepared
from tests.support.hub import TOKEN, Answer, Hub, Request, failing, hub_of_this_process, slow

PLACE = "hf://datasets/org/name"
SHARDS: dict[str, Any] = {"output": {"rows_per_shard": 30}}


@pytest.fixture
def hub(tmp_path):
    with hub_of_this_process(tmp_path / "home") as hub:
        yield hub


def forge(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    code = "from forge_gpu.cli.start import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, timeout=120)


def test_what_is_loaded_from_the_hub_is_what_was_prepared(hub, tmp_path):
    folder = prepared(tmp_path / "out", **SHARDS)
    done = forge("push", folder, PLACE)
    assert (done.returncode, done.stdout) == (
        0,
        f"pushed 6 files: {hub.url}/datasets/org/name (private)\n",
    ), done
    assert TOKEN not in done.stdout + done.stderr
    assert all(TOKEN.encode() not in content for content in hub.files("org/name").values())
    assert hub.repositories["datasets/org/name"].is_private
    names = set(hub.files("org/name"))
    assert names == {*(path.name for path in folder.glob("[tv]*.jsonl")), "README.md"}
    assert all(hub.files("org/name")[name] == (folder / name).read_bytes() for name in names - {"README.md"})
    load = (
        "import datasets, sys; datasets.disable_progress_bars()\n"
        f"a = datasets.load_dataset('org/name'); b = datasets.load_dataset({str(folder)!r})\n"
        "assert {k: v.to_list() for k, v in a.items()} == {k: v.to_list() for k, v in b.items()}, (a, b)\n"
        "print({name: len(rows) for name, rows in a.items()})\n"
    )
    loaded = subprocess.run([sys.executable, "-c", load], capture_output=True, text=True, timeout=120)
    counts = json.loads((folder / "manifest.json").read_bytes())["counts"]
    assert loaded.stdout == f"{ {'train': counts['train'], 'validation': counts['validation']} }\n", (
        loaded.stderr
    )


def test_a_second_push_changes_nothing_and_uploads_nothing(hub, tmp_path):
    folder = prepared(tmp_path / "out", **SHARDS)
    assert not push(folder, PLACE).was_there
    hub.log.clear()
    assert push(folder, PLACE).was_there
    assert not [method for method, path in hub.log if method == "PUT" or "/commit/" in path]


def test_files_of_an_earlier_push_go_with_the_next(hub, tmp_path):
    push(prepared(tmp_path / "one" / "out", **SHARDS), PLACE, bookkeeping=True)
    hub.files("org/name")["notes.md"] = b"of someone else"
    folder = prepared(tmp_path / "two" / "out")
    pushed = push(folder, PLACE)
    assert set(hub.files("org/name")) == {"train.jsonl", "validation.jsonl", "README.md", "notes.md"}
    assert "train-00000-of-00004.jsonl" in pushed.removed and "manifest.json" in pushed.removed


def test_bookkeeping_goes_along_where_it_is_asked_for(hub, tmp_path):
    folder = prepared(tmp_path / "out", [*rows(20), {"output": "x"}])
    push(folder, PLACE)
    assert set(hub.files("org/name")) == {"train.jsonl", "validation.jsonl", "README.md"}
    push(folder, PLACE, bookkeeping=True)
    more = {"manifest.json", "ledger.parquet", "rejected.jsonl"}
    assert set(hub.files("org/name")) == {"train.jsonl", "validation.jsonl", "README.md", *more}


def test_a_push_that_was_killed_goes_on(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(pushing, "AT_ONCE", 1)
    folder = prepared(tmp_path / "out", **SHARDS)
    code = "from forge_gpu.share.push import push as p; p.AT_ONCE = 1; import sys; p.push(*sys.argv[1:])"
    child: subprocess.Popen[bytes]
    puts: list[str] = []

    def kill_at_the_third(request: Request) -> Answer | None:
        if request.method == "PUT":
            if len(puts) == 2:
                os.kill(child.pid, signal.SIGKILL)
                raise ConnectionError
            puts.append(request.path)
        return None

    hub.before = kill_at_the_third
    child = subprocess.Popen([sys.executable, "-c", code, str(folder), PLACE])
    assert child.wait(60) == -signal.SIGKILL
    assert hub.files("org/name") == {}, "nobody sees a piece of it"
    first = list(puts)
    assert len(first) == 2
    puts.clear()
    hub.before = lambda request: puts.append(request.path) if request.method == "PUT" else None
    pushed = push(folder, PLACE)
    assert not set(first) & set(puts), "what is there is not uploaded again"
    assert set(hub.files("org/name")) == set(pushed.files)


def test_a_card_of_someone_else_stays(hub, tmp_path):
    folder = prepared(tmp_path / "out", rows(20))
    push(folder, PLACE)
    hub.files("org/name")["README.md"] = b"my own words"
    hub.files("org/name")["train-00000-of-00001.parquet"] = b"?"
    done = forge("push", folder, PLACE)
    assert done.returncode == 0
    assert "README.md that Forge did not write; it stays" in done.stderr
    assert "files of other data are left there: train-00000-of-00001.parquet" in done.stderr
    assert hub.files("org/name")["README.md"] == b"my own words"
    assert "train-00000-of-00001.parquet" in hub.files("org/name")


def test_a_card_of_one_s_own_is_pushed_and_a_licence_stays(hub, tmp_path):
    folder = prepared(tmp_path / "out", rows(20))
    write_card(folder, "My Licence")
    push(folder, PLACE)
    assert b'license_name: "My Licence"' in hub.files("org/name")["README.md"]
    (folder / "README.md").write_text("my own words")
    push(folder, PLACE)
    assert hub.files("org/name")["README.md"] == b"my own words"


def test_nothing_is_shown_to_everyone_unless_asked(hub, tmp_path):
    folder = prepared(tmp_path / "out", rows(20))
    hub.add("org/name", {})
    with pytest.raises(OutputError, match="is public, and everyone would see the rows; add --public"):
        push(folder, PLACE)
    assert hub.files("org/name") == {}
    assert push(folder, PLACE, public=True).is_public
    push(folder, "hf://datasets/org/new", public=True)
    assert not hub.repositories["datasets/org/new"].is_private


def test_a_branch(hub, tmp_path):
    folder = prepared(tmp_path / "out", rows(20))
    assert push(folder, f"{PLACE}@second").url.endswith("/datasets/org/name/tree/second")
    assert "second" in hub.repositories["datasets/org/name"].branches


@pytest.mark.parametrize(
    "address",
    ["hf://org/name", "org/name", "hf://datasets/org", "hf://datasets/org/name/train", "hf://models/org/name",
     "hf://datasets/../name", "hf://datasets/o/n@a/../b", "s3://bucket/x", "hf://datasets/a--b/c", ""],
)  # fmt: skip
def test_an_address_that_is_none(address):
    with pytest.raises(ConfigError, match="is not a data set on the hub; write hf://datasets/ORG/NAME"):
        parse(address)


def test_a_folder_that_is_not_prepared(hub, tmp_path):
    with pytest.raises(InputError, match="there is no such folder"):
        push(tmp_path / "none", PLACE)
    assert hub.log == []


def test_without_a_token_or_with_a_wrong_one(tmp_path):
    folder = prepared(tmp_path / "out", rows(20))
    with hub_of_this_process(tmp_path / "none", token=None) as hub:
        with pytest.raises(ConfigError, match="there is no token for the hub: log in with 'hf auth login'"):
            push(folder, PLACE)
        assert hub.log == []
    for odd in ("hf_a b c d e f", "hf_\u00fcber"):
        with (
            hub_of_this_process(tmp_path / "odd", token=odd) as hub,
            pytest.raises(
                ConfigError, match="the token for the hub has characters that no token has"
            ) as refused,
        ):
            push(folder, PLACE)
        assert odd not in str(refused.value) and hub.log == []
    wrong = "hf_" + "wr0ng" * 6
    with hub_of_this_process(tmp_path / "wrong", token=wrong):
        done = forge("--debug", "push", folder, PLACE)
    assert done.returncode == 2
    assert "the hub does not know the token; log in with 'hf auth login'" in done.stderr.splitlines()[-2]
    assert wrong not in done.stderr and wrong not in Path("forge-debug.zip").read_bytes().decode("latin1")
    Path("forge-debug.zip").unlink()


@pytest.mark.parametrize("status", [403, 413, 429, 500])
def test_a_hub_that_refuses(status, hub, tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    folder = prepared(tmp_path / "out", rows(40))
    push(prepared(tmp_path / "first" / "out", rows(3)), PLACE)
    before = dict(hub.files("org/name"))
    hub.before = failing(status, 100, "/commit/|/preupload/")
    with pytest.raises(OutputError, match=r"^hf://datasets/org/name: ") as refused:
        push(folder, PLACE)
    assert "\n" not in str(refused.value) and TOKEN not in str(refused.value)
    assert hub.files("org/name") == before


def test_a_hub_that_fails_once_is_asked_again(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    folder = prepared(tmp_path / "out", **SHARDS)
    hub.before = failing(503, 2, "/lfs/")
    assert len(push(folder, PLACE).files) == len(hub.files("org/name"))


def test_a_hub_that_is_not_there(tmp_path):
    folder = prepared(tmp_path / "out", rows(20))
    with hub_of_this_process(tmp_path / "home"):
        done = forge("push", folder, PLACE, HF_ENDPOINT="http://127.0.0.1:9")
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
        assert "the hub cannot be reached" in done.stderr
        offline = forge("push", folder, PLACE, HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE is set" in offline.stderr


def test_ctrl_c_ends_it_with_one_line(hub, tmp_path):
    folder = prepared(tmp_path / "out", **SHARDS)
    hub.before = slow(20, "^/lfs/")
    code = "from forge_gpu.cli.start import main; main()"
    command = [sys.executable, "-c", code, "push", str(folder), PLACE]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not any(method == "PUT" for method, _ in hub.log):
        assert child.poll() is None
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=20)
    assert child.returncode == 130
    assert said.splitlines()[-1] == "stopped; run the same command again to go on" and "Traceback" not in said
    assert hub.files("org/name") == {}


def test_rows_that_changed_since_are_not_pushed(hub: Hub, tmp_path):
    folder = prepared(tmp_path / "out", rows(20))
    data = (folder / "train.jsonl").read_bytes()
    (folder / "train.jsonl").write_bytes(data.replace(b"Task", b"Tusk"))
    with pytest.raises(OutputError, match="its SHA-256 is not what the manifest says"):
        push(folder, PLACE)
    assert hub.files("org/name") == {}


def test_without_the_package(monkeypatch, tmp_path):
    folder = prepared(tmp_path / "out", rows(20))
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ForgeError, match=r"pip install 'forge-gpu\[hub\]'"):
        push(folder, PLACE)
