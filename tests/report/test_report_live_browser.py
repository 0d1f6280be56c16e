"""The live page in a browser, over jobs that run, are killed, go on and end."""

from __future__ import annotations

import gc
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from forge_gpu.job import block_pass
from forge_gpu.job.events.encode import Entry
from forge_gpu.job.events.events import ChunkDone, JobStarted, Sampled, StageDone, StageStarted, Warned
from forge_gpu.report.live.note import LiveNote
from tests.report.live import FILES, Held, memory, watching
from tests.report.pages import Browser

pytestmark = pytest.mark.slow


def test_a_job_is_followed_from_its_start_over_a_kill_to_its_end(tmp_path):
    """Two browsers look; one of them loads the page anew midway, and loses the network."""
    (tmp_path / "jobs").mkdir()
    job = Held.over_files(tmp_path / "jobs" / "one")
    with (
        watching(tmp_path / "jobs") as server,
        Browser(tmp_path / "a") as one,
        Browser(tmp_path / "b") as other,
    ):
        pages = [one.open(server.url), other.open(server.url, width=420)]
        for page in pages:
            page.wait_for("No jobs yet")
            assert server.token not in page.value("location.href")
        job.start(steps=6)  # of twelve files
        for page in pages:
            page.wait_for("running")
            page.wait_for(partial(is_within, page, "index"))
        job.allow(2 * FILES + 16)  # through the decisions into the second pass
        for page in pages:
            page.wait_for(partial(is_within, page, "write"))
            page.wait_for("missing field")
            assert "What becomes of the rows" in page.text() and "train" in page.text()
        time.sleep(block_pass.SAVE_EVERY)
        job.allow(2 * FILES + 18)  # so that the checkpoint has some of it
        pages[0].wait_for(lambda: job.has_written)
        job.kill()
        for page in pages:
            page.wait_for("It was killed")
        pages[0].reload()
        pages[0].wait_for("It was killed")

        job.start(steps=2)
        for page in pages:
            page.wait_for("goes on from an earlier run")
            page.wait_for("Earlier runs of this job")
            assert "killed" in page.text()
        pages[0].wait_for("Pale: what an earlier run had done")
        pages[0].wait_for(lambda: pages[0].value("document.querySelectorAll('i.before').length") == 1)
        pages[1].call("Network.enable")
        offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        pages[1].call("Network.emulateNetworkConditions", offline=True, **offline)
        job.allow(10**6)
        job.wait()
        pages[0].wait_for("Open the report")
        pages[1].call("Network.emulateNetworkConditions", offline=False, **offline)
        pages[1].wait_for("Open the report")
        assert not pages[0].faults()

        second = Held.over_files(tmp_path / "jobs" / "two")
        second.start(steps=4)
        pages[0].wait_for("two/prepared: running")
        choose(pages[0], "one/prepared")
        pages[0].wait_for("Open the report")
        pages[0].reload()
        pages[0].wait_for("Open the report")
        choose(pages[0], "two/prepared")
        pages[0].wait_for(lambda: share(pages[0], "index") < 100)
        second.kill()

        report = pages[0].value("location.origin") + "/report?job=" + first_id(pages[0])
        shown = one.open(report)
        shown.wait_for("What came in, and what became of it")
        assert shown.value("self.origin") == "null"  # it is of no origin: it sees nothing of the live page
        assert shown.value("fetch('/events').then(() => 'read', () => 'refused')") == "refused"
        port = server.port
    pages = []
    with watching(tmp_path / "jobs", port) as anew, Browser(tmp_path / "c") as browser:
        page = browser.open(anew.url)
        page.wait_for("one/prepared")
        page.call("Network.enable")
        page.call("Network.clearBrowserCookies")
        page.value("connect()")
        page.wait_for("belongs to a forge watch that has ended")


def is_within(page, stage):
    return 0 < share(page, stage) < 100


def share(page, stage):
    """How many percent of a stage its bar shows; 0 while it is not there."""
    bar = f"document.querySelector('[data-stage={stage}] .bar')"
    return int(page.value(f"{bar}?.getAttribute('aria-valuenow') ?? 0"))


def choose(page, job):
    buttons = "[...document.querySelectorAll('button')]"
    page.value(f"{buttons}.find((button) => button.textContent.startsWith('{job}')).click()")


def first_id(page):
    return page.value(
        "new Promise((done) => { const s = new EventSource('/events'); s.onmessage = (m) => { s.close();"
        " done(JSON.parse(m.data).jobs.find((j) => j.folder === 'one/prepared').id) } })"
    )


HOURS = 10


def tells_hour(page, hour):
    return f"{hour} h" in page.text() or "10 h" in page.text()


def test_ten_hours_take_no_more_memory_than_the_first(tmp_path):
    """Four chunks and a sample a second, as fast as they are taken, while a page looks."""
    output = tmp_path / "long"
    (output / ".forge").mkdir(parents=True)
    note = LiveNote(["forge", "prepare"])
    note.folder = output
    began = datetime(2026, 1, 1, tzinfo=UTC)
    number = 0

    def tell(second, event):
        nonlocal number
        note(Entry("job", "run", number, began + timedelta(seconds=second), event))
        number += 1

    def hour(of):
        for second in range(3600 * of, 3600 * (of + 1)):
            for quarter in range(4):
                so_far = 4 * second + quarter + 1
                chunk = ChunkDone(
                    "write", 1000, 2**20, 0.25, 2**30, {"train": 900, "rejected": 100}, None,
                    1000 * so_far, so_far * 2**20, {"train": 900 * so_far, "rejected": 100 * so_far},
                )  # fmt: skip
                tell(second + quarter / 4, chunk)
            tell(second, Sampled("write", 2**30 + second, 2**31, 0.9, 0))
            if second % 60 == 0:
                tell(second, Warned("write", f"warning {second}"))

    spec = {"config": {"goal": "long", "model": {"name": None}}}
    tell(0, JobStarted("open", "job", spec, "cpu", None, 2**30, 2, False, {"forge": "1"}))
    tell(0, StageStarted("write", 4 * 3600 * HOURS * 2**20))
    with watching(tmp_path) as server, Browser(tmp_path / "profile") as browser:
        page = browser.open(server.url)
        hour(0)
        note._write("run")
        page.wait_for("GPU use, %")
        sizes = [(output / ".forge/live.json").stat().st_size]
        heaps, held = [page.heap()], [memory()]
        for of in range(1, HOURS):
            worker = threading.Thread(target=hour, args=(of,))
            worker.start()
            worker.join()
            note._write("run")
            page.wait_for(partial(tells_hour, page, of))
            gc.collect()
            sizes.append((output / ".forge/live.json").stat().st_size)
            heaps.append(page.heap())
            held.append(memory())
        tell(3600 * HOURS, StageDone("write", 3600 * HOURS, 3600.0 * HOURS))
        assert number > 180_000
        assert max(sizes) < 1.3 * sizes[0] and max(sizes) < 100_000
        assert max(heaps[2:]) < heaps[1] + 2 * 2**20, heaps
        assert max(held[2:]) < held[1] + 16 * 2**20, held
        assert not page.faults()
