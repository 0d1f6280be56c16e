"""--log, --metrics and the history: what they say is so, and nothing secret or of a row is in them."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from urllib.request import urlopen

import pytest

import forge_gpu
from forge_gpu.cli.app import _run
from forge_gpu.errors import ConfigError, ForgeError
from forge_gpu.fates import Fate, Reason, name
from forge_gpu.job.output.result import PAGE_BEGINNING
from forge_gpu.report.address import address_of
from forge_gpu.report.metrics import Metrics
from tests.job import jobs

FORGE = [sys.executable, "-c", "from forge_gpu.cli.app import main; main()"]
ROW = "a text that only rows have"
OBSERVE = Path(__file__).parents[2] / "docker" / "observe"
CUT_OFF = """
import socket
def refuse(*arguments, **options):
    raise SystemExit("the network was used")
socket.getaddrinfo = socket.create_connection = socket.socket.connect = refuse
from forge_gpu.cli.app import main
main()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rows = [row | {"output": f"{ROW} {number}"} for number, row in enumerate(jobs.rows(300))]
    rows[30]["output"] = None
    jobs.write_lines(tmp_path / "rows.jsonl", rows)
    plan = {
        "data": {
            "inputs": ["rows.jsonl"],
            "mapping": {"query": "instruction", "input": "input", "response": "output"},
        },
        "model": {"chat_template": "chatml", "template_kind": "builtin"},
    }
    (tmp_path / "forge.yaml").write_text(json.dumps(plan))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def forge(*arguments, code=0, program=None, **variables):
    command = FORGE if program is None else [sys.executable, "-c", program]
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, env={**os.environ, **variables}
    )
    assert done.returncode == code, done.stderr
    return done


def numbers_of(text):
    """Metric with its labels -> value."""
    result = re.findall(r"^(forge_\w+)(?:\{(.*?)\})? (\S+)$", text, re.MULTILINE)
    return {(metric, labels.partition("=")[2].strip('"')): float(value) for metric, labels, value in result}


def test_a_log_is_json_lines_of_one_run(folder):
    forge("prepare", "--log", "run.log", "--log-level", "debug")
    lines = [json.loads(line) for line in (folder / "run.log").read_text().splitlines()]
    assert {line["run"] for line in lines} == {lines[0]["run"]} and lines[0]["run"]
    assert lines[0]["message"] == "command" and lines[0]["command"][1:] == [
        "prepare", "--log", "run.log", "--log-level", "debug",
    ]  # fmt: skip
    reported = [line["message"] for line in lines]
    for message in ("job started", "stage started", "chunk done", "stage done", "job ended"):
        assert message in reported
    assert lines[-1] == lines[-1] | {"message": "rows rejected", "rows": {"null_field": 1}}
    assert "versions" in lines[reported.index("job started")]


def test_the_least_level_is_heeded(folder):
    (folder / "empty.jsonl").write_text("")
    forge("prepare", "rows.jsonl", "empty.jsonl", "--log", "run.log", "--log-level", "warning")
    lines = [json.loads(line) for line in (folder / "run.log").read_text().splitlines()]
    assert [line["level"] for line in lines] == ["warning"]
    assert "empty.jsonl: has no rows" in lines[0]["message"]


def test_a_log_for_people_goes_to_standard_error(folder):
    done = forge("prepare", "--quiet", "--log", "-")
    lines = done.stderr.splitlines()
    assert re.match(r"\d{4}-\d\d-\d\dT\S+Z [0-9a-f]{6} info    command ", lines[0])
    assert any("stage done" in line and "stage=index" in line for line in lines)


def test_a_failed_run_is_logged_and_remembered(folder):
    done = forge("prepare", "--strict", "--log", "run.log", code=2)
    last = json.loads((folder / "run.log").read_text().splitlines()[-1])
    assert last["level"] == "error" and last["exit_code"] == 2 and "null_field" in last["error"]
    assert "error:" in done.stderr
    [run] = [json.loads(line) for line in forge("history", "--json").stdout.splitlines()]
    assert run["outcome"] == "failed" and run["exit_code"] == 2


def test_history_lists_runs_with_what_was_changed(folder):
    assert forge("history").stdout.startswith("no runs yet")
    forge("prepare", "--set", "preprocessing.seed=3")
    forge("prepare", "--set", "preprocessing.seed=3")
    shown = forge("history").stdout.splitlines()
    assert len(shown) == 6 and "done in" in shown[0] and "300 rows" in shown[0]
    assert "forge prepare --set preprocessing.seed=3" in shown[1] and "was done already" in shown[3]
    assert shown[2] == "  changed: preprocessing.seed=3"
    file = folder / "state/forge/history.jsonl"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert forge("history", "--limit", "1").stdout.splitlines() == shown[3:]


def test_a_home_that_cannot_be_written_to_is_no_fault(folder):
    (folder / "state").write_text("a file")
    forge("prepare")


def test_metrics_in_a_file_are_those_of_the_manifest(folder):
    forge("prepare", "--metrics", "forge.prom")
    numbers = numbers_of((folder / "forge.prom").read_text())
    manifest = json.loads((folder / "prepared/manifest.json").read_bytes())
    for fate, rows in manifest["counts"].items():
        assert numbers["forge_fate_rows_total", fate] == rows
    for reason, rows in manifest["rejected"].items():
        assert numbers["forge_rejected_rows_total", reason] == rows
    for stage, of in manifest["run"]["stages"].items():
        assert numbers["forge_rows_total", stage] == of["rows"]
        assert numbers["forge_stage_seconds_total", stage] == pytest.approx(of["seconds"], abs=1e-5)
    size = manifest["inputs"][0]["bytes"]
    assert numbers["forge_bytes_total", "index"] == numbers["forge_bytes_total", "write"] == size
    for count in ("retries", "halvings"):
        assert numbers[f"forge_{count}_total", ""] == manifest["run"][count]
    assert numbers["forge_warnings_total", ""] == len(manifest["run"]["warnings"])
    assert numbers["forge_running", ""] == 0
    assert stat.S_IMODE((folder / "forge.prom").stat().st_mode) == 0o644
    assert not (folder / "forge.prom.partial").exists()
    known = {name(of) for of in (*Fate, *Reason)} | {
        "open",
        "index",
        "decide",
        "write",
        "finish",
        "verify",
        "report",
    }
    labels = {label for metric, label in numbers if metric != "forge_job_info"}
    assert labels - {""} <= known


def test_metrics_are_served_on_this_machine_alone(folder):
    metrics = Metrics("0")
    try:
        forge_gpu.prepare(output=folder / "prepared", listeners=[metrics])
        assert metrics._server.server_address[0] == "127.0.0.1"
        numbers = numbers_of(urlopen(f"http://127.0.0.1:{metrics.port}/metrics").read().decode())
        assert numbers["forge_fate_rows_total", "rejected"] == 1
    finally:
        metrics.close()


def test_where_metrics_go():
    assert address_of("9464") == ("127.0.0.1", 9464)
    assert address_of("0.0.0.0:9464") == ("0.0.0.0", 9464)
    assert address_of("[::1]:9464") == ("::1", 9464)
    for wrong in ("70000", "forge.txt", "host:", ""):
        assert address_of(wrong) is None
        with pytest.raises(ConfigError, match=r"is not a port, an ADDRESS:PORT or a file"):
            Metrics(wrong)


def test_a_port_that_is_taken_and_a_library_that_lacks_are_one_line(folder, capsys, monkeypatch):
    metrics = Metrics("0")
    try:
        assert _run(["prepare", "--metrics", str(metrics.port)], debug=False) == 2
        assert "Address already in use; name another port" in capsys.readouterr().err
    finally:
        metrics.close()
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ForgeError, match=r"pip install 'forge-gpu\[metrics\]'"):
        Metrics("0")


def test_no_secret_and_no_text_of_a_row_is_written(folder):
    planted = {"WANDB_API_KEY": "plantedkey1", "DB_PASSWORD": "plantedkey2"}
    listen = [
        "--log",
        "run.log",
        "--log-level",
        "debug",
        "--metrics",
        "forge.prom",
        "--events",
        "events.jsonl",
    ]
    shown = forge("prepare", *listen, "--set", "goal=with plantedkey1", **planted)
    bad = forge(
        "prepare", "http://me:plantedkey3@127.0.0.1:9/rows.jsonl?signature=plantedkey4", *listen,
        "--output", "other", code=2, **planted,
    )  # fmt: skip
    wrong = forge(
        "prepare", *listen, "--set", "data.password=plantedkey5", "--output", "third", code=2, **planted
    )
    said = shown.stdout + shown.stderr + bad.stdout + bad.stderr
    logs = [folder / "run.log", folder / "forge.prom", folder / "state/forge/history.jsonl"]
    texts = [path.read_text() for path in logs]
    assert all(texts) and "password" in texts[2] and wrong.returncode == 2
    for text in [*texts, said]:
        assert ROW not in text
    for text in texts:
        assert "planted" not in text
    assert ROW not in (folder / "events.jsonl").read_text()
    assert not re.search("plantedkey[345]", said + (folder / "events.jsonl").read_text())
    page = (folder / "prepared/report.html").read_text()
    assert "planted" not in page and ROW in page
    assert forge("--debug", "prepare", *listen, **planted).returncode == 0
    with zipfile.ZipFile(folder / "forge-debug.zip") as bundle:
        reported = b"".join(map(bundle.read, bundle.namelist()))
    assert b"JobEnded" in reported and b"planted" not in reported and ROW.encode() not in reported
    written = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".yaml", ".zip")]
    assert {"live.json", "job.json", "report-run.json", "manifest.json"} <= {path.name for path in written}
    for path in written:
        assert b"planted" not in path.read_bytes(), path
    with_rows = {path.name for path in written if ROW.encode() in path.read_bytes()}
    splits = {"train.jsonl", "validation.jsonl", "rejected.jsonl"}
    assert with_rows <= splits | {"rows.jsonl", "report.html", "report-rows.jsonl", "report-run.json"}


def test_forge_works_without_a_network_and_asks_for_none(folder):
    done = forge("prepare", "--log", "run.log", "--metrics", "forge.prom", program=CUT_OFF)
    assert "train" in done.stdout
    forge("report", "prepared", program=CUT_OFF)
    forge("history", program=CUT_OFF)
    forge("--debug", "doctor", program=CUT_OFF)
    forge("check", "rows.jsonl", "--html", "check.html", program=CUT_OFF)
    assert (folder / "check.html").read_bytes().startswith(PAGE_BEGINNING)
    assert ROW not in (folder / "check.html").read_text()


def prometheus():
    path = shutil.which("prometheus")
    if path is None:
        required = os.environ.get("FORGE_REQUIRE_PROMETHEUS") == "1"
        (pytest.fail if required else pytest.skip)("prometheus is not installed: apt-get install prometheus")
    return path


@pytest.mark.slow
def test_every_query_of_the_dashboard_has_an_answer(folder, tmp_path):
    metrics = Metrics("0")
    metrics.finished(forge_gpu.prepare(output=folder / "prepared", listeners=[metrics]))
    config = (OBSERVE / "prometheus.yml").read_text().replace("9464", str(metrics.port)).replace("5s", "1s")
    (tmp_path / "prometheus.yml").write_text(config)
    port = 9000 + os.getpid() % 900
    server = subprocess.Popen(
        [
            prometheus(),
            f"--config.file={tmp_path}/prometheus.yml",
            f"--storage.tsdb.path={tmp_path}/db",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        dashboard = json.loads((OBSERVE / "grafana.json").read_text())
        queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        assert len(queries) >= 15
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not answer(port, "count_over_time(forge_rows_total[30s]) >= 2"):
            time.sleep(0.5)
        for query in queries:
            result = answer(port, query.replace("$__rate_interval", "30s"))
            assert result or re.match("forge_(vram|gpu|memory_bytes|events)", query), query
    finally:
        server.kill()
        server.wait()
        metrics.close()


def answer(port, query):
    """What Prometheus finds; [] while it is not there yet."""
    from urllib.error import HTTPError, URLError
    from urllib.parse import quote

    try:
        with urlopen(f"http://127.0.0.1:{port}/api/v1/query?query={quote(query)}") as response:
            result = json.loads(response.read())
    except HTTPError as fault:
        if fault.code == 503:
            return []
        raise
    except (URLError, ConnectionError):
        return []
    assert result["status"] == "success"
    return result["data"]["result"]
