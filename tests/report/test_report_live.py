"""What a job leaves for the live page, what is read of it, and who may see it."""

from __future__ import annotations

import json
import os
import socket
from http.client import HTTPConnection

import pytest

import forge_gpu
from forge_gpu.errors import ConfigError, ForgeError, Interrupted
from forge_gpu.report.live import jobs as live_jobs
from forge_gpu.report.live.jobs import Jobs
from forge_gpu.report.live.note import FILE, read_live
from forge_gpu.report.live.server import Watch
from forge_gpu.report.live.state import MOST_POINTS, Curves
from tests.job import jobs
from tests.report.live import watching

SECRET = "hunter2hunter2"


@pytest.fixture
def config(tmp_path):
    rows = jobs.rows(200)
    rows[7] = {"instruction": "a row without an answer"}
    return jobs.plan(jobs.write_lines(tmp_path / "rows.jsonl", rows))


def look(folder):
    return [job.document() for job in Jobs(folder).look()]


def test_a_job_that_is_done_is_told_with_its_counts(config, tmp_path):
    result = forge_gpu.prepare(config, output=tmp_path / "out")
    [job] = look(tmp_path)
    assert (job["folder"], job["status"], job["has_page"]) == ("out", "done", True)
    state = job["state"]
    assert state["fates"] == result.counts and state["reasons"] == result.manifest["rejected"]
    stages = {stage["stage"]: stage for stage in state["stages"]}
    assert list(stages) == ["open", "index", "decide", "write", "finish", "verify", "report"]
    assert stages["index"]["bytes"] == stages["index"]["total_bytes"] == result.manifest["inputs"][0]["bytes"]
    assert all(stage["seconds"] is not None for stage in stages.values())
    [rejected] = job["rejected"]
    assert rejected["line"] == 8 and rejected["reason"] == "missing_field"
    assert "a row without an answer" not in json.dumps(job)


def test_a_run_that_finds_all_done_leaves_the_state_of_the_one_that_did_it(config, tmp_path):
    forge_gpu.prepare(config, output=tmp_path / "out")
    before = read_live(tmp_path / "out")
    assert forge_gpu.prepare(config, output=tmp_path / "out").was_finished
    assert read_live(tmp_path / "out") == before


def test_a_job_that_was_stopped_says_so_and_is_among_the_runs_of_the_next(config, tmp_path):
    def stop():
        raise Interrupted(2)

    with pytest.raises(Interrupted):
        forge_gpu.prepare(config, output=tmp_path / "out", check_stop=stop)
    [job] = look(tmp_path)
    assert job["status"] == "stopped" and job["state"]["outcome"]["exit_code"] == 130
    forge_gpu.prepare(config, output=tmp_path / "out")
    [job] = look(tmp_path)
    assert job["status"] == "done" and [run["outcome"] for run in job["state"]["before"]] == ["stopped"]


def test_a_job_of_another_plan_forgets_the_runs_before(config, tmp_path):
    forge_gpu.prepare(config, output=tmp_path / "out")
    forge_gpu.prepare(config, output=tmp_path / "out", limit=50)
    [job] = look(tmp_path)
    assert job["state"]["before"] == []


def test_nothing_is_written_where_the_folder_is_not_ours(config, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/train.jsonl").write_text("mine")
    with pytest.raises(ForgeError):
        forge_gpu.prepare(config, output=tmp_path / "out")
    assert not (tmp_path / "out/.forge" / FILE).exists()


def test_a_process_that_is_gone_was_killed_and_one_on_another_machine_may_be(config, tmp_path, monkeypatch):
    forge_gpu.prepare(config, output=tmp_path / "out")
    path = tmp_path / "out/.forge" / FILE
    document = json.loads(path.read_bytes()) | {"outcome": None}
    path.write_text(json.dumps(document))
    assert look(tmp_path)[0]["status"] == "running"
    path.write_text(json.dumps(document | {"began": 1.0}))  # a younger process has the number
    assert look(tmp_path)[0]["status"] == "killed"
    path.write_text(json.dumps(document | {"pid": 2**22 + 1}))
    assert look(tmp_path)[0]["status"] == "killed"
    path.write_text(json.dumps(document | {"host": "another"}))
    assert look(tmp_path)[0]["status"] == "running"
    monkeypatch.setattr(live_jobs, "SILENT_AFTER", -1.0)
    assert look(tmp_path)[0]["status"] == "silent"


HOSTILE = [b"", b"[]", b"{", b'{"version": 1}', b'{"version": 99, "run": "r"}', b"\xff" * 100, b"[" * 10_000]


@pytest.mark.parametrize("content", HOSTILE)
def test_files_that_are_none_of_forge_harm_nothing(content, tmp_path):
    (tmp_path / "a/.forge").mkdir(parents=True)
    (tmp_path / "a/.forge" / FILE).write_bytes(content)
    for job in look(tmp_path):
        json.dumps(job)


def test_links_pipes_and_large_files_are_passed_over(config, tmp_path):
    out = tmp_path / "real/out"
    forge_gpu.prepare(config, output=out)
    below = tmp_path / "below"
    for name in ("link", "pipe", "large"):
        (below / name / ".forge").mkdir(parents=True)
    (below / "link/.forge" / FILE).symlink_to(out / ".forge" / FILE)
    os.mkfifo(below / "pipe/.forge" / FILE)
    (below / "large/.forge" / FILE).write_bytes((out / ".forge" / FILE).read_bytes() + b" " * 2**23)
    (below / "folder").symlink_to(out)
    assert look(below) == []
    (out / "report.html").unlink()
    (out / "report.html").symlink_to("/etc/passwd")
    assert Jobs(out).look()[0].page is None


def test_curves_hold_so_many_points_over_any_time():
    curves = Curves()
    for second in range(100_000):
        curves.add(float(second), {"rows": second})
    seconds = [point["seconds"] for point in curves.points]
    assert MOST_POINTS / 2 <= len(seconds) <= MOST_POINTS and seconds == sorted(seconds)
    assert seconds[0] == 0 and seconds[-1] > 99_000


@pytest.fixture
def served(config, tmp_path):
    forge_gpu.prepare(config, output=tmp_path / "out")
    with watching(tmp_path) as server:
        yield server


def ask(server: Watch, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """The answer; of a stream its first message."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers=named)
    answer = connection.getresponse()
    stream = answer.headers.get("content-type", "").startswith("text/event-stream")
    body = answer.readline() if stream else answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


def test_the_page_needs_the_token_and_then_its_cookie(served):
    for path in ("/", "/events", "/report", "/?token=wrong", "/?token=", "/nothing"):
        status, headers, body = ask(served, path)
        assert status == 403 and b"forge watch has printed" in body and "set-cookie" not in headers
    status, headers, body = ask(served, f"/?token={served.token}")
    assert status == 200 and body.startswith(b"<!doctype html>")
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert "script-src 'sha256-" in headers["content-security-policy"]
    assert "unsafe-eval" not in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store" and headers["referrer-policy"] == "no-referrer"
    own = {"Cookie": cookie.split(";")[0]}
    status, _, body = ask(served, "/events", **own)
    assert status == 200 and json.loads(body.removeprefix(b"data: "))["job"]["status"] == "done"
    assert ask(served, "/events", Cookie=f"forge-watch-{served.port}=other")[0] == 403
    assert ask(served, "/nothing", **own)[0] == 404
    assert ask(served, "/report?job=../../etc", **own)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
def test_nothing_but_looking_is_possible(served, method):
    assert ask(served, f"/?token={served.token}", method)[0] == 405


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_a_name_that_somebody_made_lead_here_is_refused(served, host):
    assert ask(served, f"/?token={served.token}", Host=host)[0] == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1"])
def test_another_origin_is_refused(served, origin):
    assert ask(served, f"/events?token={served.token}", Origin=origin)[0] == 403


def test_the_page_itself_may_ask(served):
    own = f"http://127.0.0.1:{served.port}"
    assert ask(served, f"/events?token={served.token}", Origin=own)[0] == 200
    assert ask(served, f"/?token={served.token}", Host=f"localhost:{served.port}")[0] == 200
    assert ask(served, f"/?token={served.token}", Host=f"[::1]:{served.port}")[0] == 200


def test_it_listens_on_this_machine_alone_and_says_where_it_cannot(tmp_path):
    with watching(tmp_path) as server:
        assert server._socket.getsockname()[0] == "127.0.0.1"
        with pytest.raises(ConfigError, match="Address already in use; name another port"):
            Watch(Jobs(tmp_path), ("127.0.0.1", server.port))


def test_a_report_runs_in_a_sandbox(served):
    status, headers, _ = ask(served, f"/report?job={served.jobs.look()[0].id}&token={served.token}")
    assert status == 200 and headers["content-security-policy"].startswith("sandbox allow-scripts;")


def test_without_its_packages_it_says_what_to_install(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ForgeError, match=r"pip install 'forge-gpu\[watch\]'"):
        Watch(Jobs(tmp_path), ("127.0.0.1", 0))


def test_the_state_has_no_secrets(config, tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_PASSWORD", SECRET)
    plan = config.model_copy(update={"goal": f"with {SECRET}"})
    forge_gpu.prepare(plan, output=tmp_path / "out")
    text = (tmp_path / "out/.forge" / FILE).read_text()
    assert SECRET not in text and "with ***" in text and socket.gethostname() in text
