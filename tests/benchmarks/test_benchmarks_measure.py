"""The harness measures what was done, checks what was made, and survives contenders that fail."""

import os
import sys

import pytest

from benchmarks import command, measure, work
from benchmarks.case import Case, CheckFailed, Point
from benchmarks.contenders import Contender, ContenderError, Missing, Process, can_do
from benchmarks.inputs import Inputs


def contender(name="one", task=None, module="tests.benchmarks.contestants", floor=False, **arguments):
    return Contender(name, module, peer=False, task=task, arguments=arguments, floor=floor)


def run_once(task, **arguments):
    with Process(contender(), measure.cores(1)) as process:
        process.prepare(task, {"input": "", **arguments})
        return process.run()


def test_result_comes_back_though_the_library_prints():
    assert run_once("echo")["result"] == {"text": "well"}


def test_sleep_is_wall_time_and_work_is_cpu_time():
    slept, burnt = run_once("nap", seconds=0.2), run_once("burn", seconds=0.2)
    assert slept["seconds"] >= 0.2 and slept["cpu"] < 0.1
    assert burnt["cpu"] >= 0.19


def test_peak_memory_is_that_of_the_run():
    small, large = run_once("hold", size=1), run_once("hold", size=64 << 20)
    assert 60 << 20 < large["peak"] - small["peak"] < 80 << 20


def test_imports_are_told_apart():
    with Process(contender(), measure.cores(1)) as process:
        assert process.hello["import_seconds"] > 0 and process.hello["versions"] == {"nothing": "1.0"}


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system has no processor affinity")
def test_contenders_are_held_to_their_cores():
    core = measure.cores(1)
    with Process(contender(), core) as process:
        assert os.sched_getaffinity(process._child.pid) == set(core)


def test_failures_are_told():
    with pytest.raises(ContenderError, match="ValueError: no such luck"):
        run_once("fail")
    with pytest.raises(ContenderError, match="ended with status 3"):
        run_once("vanish")
    with (
        pytest.raises(Missing, match="no_such_library"),
        Process(contender(module="tests.benchmarks.missing_library"), [0]),
    ):
        pass


def test_a_task_that_a_contender_lacks():
    assert can_do(contender(), "echo") and not can_do(contender(), "fly")


def test_a_command_is_measured_and_its_failure_told():
    measured = command.spawn([sys.executable, "-c", "import time; time.sleep(0.1); x = bytearray(50 << 20)"])
    assert measured.seconds >= 0.1 and measured.peak > 50 << 20
    with pytest.raises(RuntimeError, match=r"status 1 .*alas"):
        command.spawn([sys.executable, "-c", "raise SystemExit('alas')"])


def test_a_command_keeps_its_bytecode_whatever_this_machine_says(monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    command.spawn([sys.executable, "-c", "import sys; assert not sys.dont_write_bytecode"])


def test_a_command_is_killed_in_time():
    napping = [sys.executable, "-c", "import time; time.sleep(30)"]
    assert 0.2 <= command.spawn_and_kill(napping, after=0.2).seconds < 10
    with pytest.raises(RuntimeError, match="status 0 where -9 was due"):
        command.spawn_and_kill([sys.executable, "-c", "pass"], after=1.0)


def test_a_task_may_measure_itself():
    answer = run_once("start", argv=[sys.executable, "-c", "import time; time.sleep(0.1)"])
    assert answer["seconds"] >= 0.1 and answer["cpu"] < answer["seconds"] and answer["result"] is None


def case_of(cast, path, check, **more):
    return Case("a case", "about", "upper", tuple(cast), lambda inputs: [Point(path, 2)], check, **more)


@pytest.fixture
def words(tmp_path):
    (tmp_path / "words").write_text("one\ntwo\n")
    return tmp_path / "words"


def capitals(result, point, folder):
    if result != work.facts(["ONE", "TWO"]):
        raise CheckFailed("other words")
    return {"right": 1.0}


def run(case):
    (point,) = measure.run_case(case, Inputs("tiny"), lambda line: None).points
    return {outcome.contender: outcome for outcome in point.outcomes}


def test_a_case_runs_all_in_turn_and_checks_them(words):
    good, bad = contender("good"), contender("bad", lose=1)
    outcomes = run(case_of([good, bad, contender("floor", "echo", floor=True)], words, capitals, rounds=4))
    assert outcomes["good"].rounds == [0, 1, 2, 3] and outcomes["good"].figures == {"right": 1.0}
    assert len(outcomes["good"].cpu) == len(outcomes["good"].peak) == len(outcomes["good"].seconds) == 4
    assert outcomes["bad"].failed and outcomes["bad"].note == "other words" and not outcomes["bad"].seconds
    assert not outcomes["floor"].failed and outcomes["floor"].seconds


def test_who_cannot_take_part_is_shown_and_stops_nobody(words):
    cast = [
        contender("good"),
        contender("cannot", "fly"),
        contender("broken", "fail"),
        contender("gone", "vanish"),
        Contender("absent", "tests.benchmarks.missing_library", peer=False, task="upper"),
    ]
    outcomes = run(case_of(cast, words, capitals, rounds=1))
    assert outcomes["good"].seconds and not outcomes["good"].failed
    assert outcomes["cannot"].note == "cannot do this step" and not outcomes["cannot"].failed
    assert "no such luck" in outcomes["broken"].note and outcomes["broken"].failed
    assert outcomes["gone"].failed
    assert outcomes["absent"].note.startswith("not installed") and outcomes["absent"].failed


def test_a_slow_contender_gets_fewer_rounds(words):
    slow, quick = contender("slow", "nap", seconds=0.15, floor=True), contender("quick")
    outcomes = run(case_of([slow, quick], words, capitals, rounds=3, budget=0.2))
    assert len(outcomes["slow"].seconds) == 1 and len(outcomes["quick"].seconds) == 3


def test_each_writes_into_a_folder_of_its_own_that_goes_away(words):
    folders = []

    def look(result, point, folder):
        folders.append(folder)
        assert (folder / "train.jsonl").read_text() == "written\n"
        return {}

    cast = [contender("a", "write"), contender("b", "write")]
    outcomes = run(case_of(cast, words, look, writes=True, rounds=1))
    assert all(outcome.seconds for outcome in outcomes.values())
    assert len(set(folders)) == 2 and not any(folder.exists() for folder in folders)


def test_every_measured_run_writes_into_an_empty_folder(words):
    cast = [contender("a", "write_anew"), contender("floor", "echo", floor=True)]
    outcomes = run(case_of(cast, words, lambda *_: {}, writes=True, rounds=2))
    assert all(len(outcome.seconds) == 2 and not outcome.failed for outcome in outcomes.values())
