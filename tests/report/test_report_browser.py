"""The report in a browser: it draws itself, and no text of a row becomes markup or runs."""

from __future__ import annotations

import re

import pytest

import forge_gpu
from forge_gpu import library
from forge_gpu.report.checked import write_checked
from tests.job import jobs
from tests.report.browser import dom_of

pytestmark = pytest.mark.slow

ATTACKS = [
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "<!--<script>",
    "{{constructor.constructor('document.title=1')()}}",
    "javascript:document.title='owned'",
    "<svg onload=document.title='owned'>",
    "\u202e\x00]]>&lt;b&gt;",
]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """The report of a job all of whose texts, reasons, files and settings are attacks."""
    folder = tmp_path_factory.mktemp("hostile")
    rows = jobs.rows(60)
    for number, row in enumerate(rows):
        row["instruction"] = f"{ATTACKS[number % len(ATTACKS)]} {number // 2}"
        row["output"] = ATTACKS[(number + 1) % len(ATTACKS)] * 2
    rows[40] = {"instruction": ATTACKS[0]}
    rows[41] = {"<img src=x onerror=alert(1)>": ATTACKS[1]}
    source = jobs.write_lines(folder / "<img src=x onerror=alert(1)>.jsonl", rows)
    config = jobs.plan(source).model_copy(update={"goal": ATTACKS[1]})
    return forge_gpu.prepare(config, output=folder / "<script>").output / "report.html"


@pytest.mark.parametrize("width", [390, 1100])
def test_it_draws_itself_and_nothing_of_a_row_runs(hostile, width, tmp_path):
    dom, console = dom_of(
        hostile.as_uri().replace("<", "%3C").replace(">", "%3E"), tmp_path / "profile", width=width
    )
    assert not console
    for heading in (
        "what became of it",
        "Rejected, and why",
        "How long rows are",
        "Rows as the model sees them",
        "How it ran",
    ):
        assert heading in dom
    title = re.findall(r"<title>(.*?)</title>", dom)
    assert title[0] == "&lt;script&gt;: Forge"
    body = dom[dom.index("<main") : dom.index("</main>")]
    assert body.count("<svg") >= 3 and "sankey" not in body.split("<svg")[0]
    assert "<img" not in body and "<script" not in body and "onload" not in re.sub(r">[^<]*<", "><", body)
    assert "document.title" in body  # it is there, as text


def test_the_page_of_check_draws_itself_and_nothing_of_a_name_runs(tmp_path):
    rows = jobs.rows(40)
    for number, row in enumerate(rows):
        row["<img src=x onerror=alert(1)>"] = ATTACKS[number % len(ATTACKS)]
    rows[7] = {"instruction": ATTACKS[0], "output": None}
    source = jobs.write_lines(tmp_path / "<img src=x onerror=alert(1)>.jsonl", rows)
    path = tmp_path / "check.html"
    write_checked(path, library.check([str(source)]))
    assert ATTACKS[0] not in path.read_text() and ATTACKS[1] not in path.read_text()
    dom, console = dom_of(path.as_uri(), tmp_path / "profile", width=390)
    assert not console
    body = dom[dom.index("<main") : dom.index("</main>")]
    for heading in ("What the data is", "Cannot be read", "Columns", "Files"):
        assert heading in body
    assert "null field" in body and "<img" not in body and "<script" not in body
