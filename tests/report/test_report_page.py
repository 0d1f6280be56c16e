"""The page is one file that loads nothing, and runs no script but the one its policy names."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest

from forge_gpu.errors import ForgeError, OutputError
from forge_gpu.fates import Fate, Reason, name
from forge_gpu.report import page
from forge_gpu.report.meanings import meanings
from tests.report.fetch_vendor import PACKAGES

HOSTILE = '</script><script>alert(1)</script><!--<script>&lt;"\u2028'


def test_vendored_files_are_those_of_the_lock():
    entries = page.lock()
    assert {entry["package"]: entry["version"] for entry in entries} == PACKAGES
    assert {entry["file"] for entry in entries} == {path.name for path in page.VENDOR.glob("*.js")}
    licences = (page.VENDOR / "LICENSES.txt").read_text()
    for entry in entries:
        assert hashlib.sha256((page.VENDOR / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
        assert f"{entry['package']} {entry['version']}" in licences


def test_a_vendored_file_that_was_changed_is_refused(tmp_path, monkeypatch):
    file = tmp_path / page.lock()[0]["file"]
    file.write_text("alert(1)")
    monkeypatch.setattr(page, "VENDOR", tmp_path)
    with pytest.raises(ForgeError, match="is not the file that its lock names"):
        page._locked(file.name, hashlib.sha256(b"other").hexdigest())


@pytest.mark.parametrize("script", sorted(path.name for path in page.ASSETS.glob("*.js")))
def test_no_script_makes_code_of_texts_or_markup_of_data(script):
    code = page.scripts(script)
    own = (page.ASSETS / script).read_text()
    assert not re.search(r"\beval\s*\(|new Function|\bFunction\s*\(", code)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\.html\(", own)
    assert not re.search(r"https?://", re.sub(r"//[^\n]*", "", own))


def test_the_policy_names_the_script_and_nothing_else():
    made = page.html_page("report.js", HOSTILE, {"text": HOSTILE}).decode()
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', made)
    scripts = re.findall(r"<script>(.*?)</script>", made, re.DOTALL)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; script-src 'sha256-{digest}'; ")
    assert "unsafe-eval" not in policy and "script-src 'unsafe-inline'" not in policy
    [data] = re.findall(r'<script id="data" type="application/json">(.*?)</script>', made, re.DOTALL)
    assert json.loads(data) == {"text": HOSTILE} and "<" not in data
    assert not re.search(r'(?:src|href)="', made)
    assert len(made.encode()) < page.MOST_BYTES * 0.6


def test_a_page_of_somebody_else_is_never_written_over(tmp_path):
    path = tmp_path / "report.html"
    ours = page.html_page("report.js", "one", {})
    page.write_page(path, ours)
    page.write_page(path, page.html_page("report.js", "two", {}))
    assert b"<title>two</title>" in path.read_bytes()
    path.write_bytes(b"<html>my own report</html>")
    with pytest.raises(OutputError, match="Forge did not write it"):
        page.write_page(path, ours)
    assert path.read_bytes() == b"<html>my own report</html>"


def test_every_fate_and_reason_has_a_meaning():
    reported = meanings()
    assert set(reported["fates"]) == {name(fate) for fate in Fate}
    assert set(reported["reasons"]) == {name(reason) for reason in Reason if reason}
