"""The comparison with an earlier commit sees what is slower, and nothing else."""

import shutil
import subprocess

import pytest

from benchmarks import baseline
from benchmarks.baseline import Compared, NoBaseline
from benchmarks.case import Case, Point
from benchmarks.contenders import ROOT, Contender

FOLDERS = ("benchmarks", "tests/benchmarks")


@pytest.mark.parametrize(
    ("beyond", "slower"), [(0, False), (8, False), (12, False), (13, True), (15, True)], ids=str
)
def test_slower_is_what_chance_does_not_explain(beyond, slower):
    earlier = [1.0] * baseline.ROUNDS
    now = [1.2] * beyond + [1.05] * (baseline.ROUNDS - beyond)
    assert Compared("case", earlier, now).is_slower is slower


def case(tmp_path):
    source = tmp_path / "input.jsonl"
    source.write_text("{}\n")
    adds = Contender("forge", "tests.benchmarks.contestants", peer=False, arguments={"numbers": 2_000_000})
    return Case("adding", "", "add_up", (adds,), lambda inputs: [Point(source, 1)], lambda *_: {})


@pytest.fixture
def tree(tmp_path):
    """An earlier checkout with the same contestants, all in this one's place."""
    for name in FOLDERS:
        shutil.copytree(
            ROOT / name, tmp_path / "tree" / name, ignore=shutil.ignore_patterns("data", "__pycache__")
        )
    (tmp_path / "tree/tests/__init__.py").touch()
    return tmp_path / "tree"


@pytest.mark.parametrize(("share", "slower"), [(1, False), (2, True)], ids=["the same", "twice as slow"])
def test_each_side_runs_its_own_code(tmp_path, tree, monkeypatch, share, slower):
    contestants = tree / "tests/benchmarks/contestants.py"
    contestants.write_text(contestants.read_text().replace("range(numbers)", f"range(numbers // {share})"))
    monkeypatch.setattr(baseline, "COMPARED", (("adding", "forge", ""),))
    (held,) = baseline.compare((case(tmp_path),), tree, lambda line: None)
    assert held.is_slower is slower, str(held)


def test_a_checkout_of_the_named_commit():
    if not (ROOT / ".git").exists():
        pytest.skip("needs a checkout with .git")
    commit = baseline.named_commit()
    git = ["git", "-C", str(ROOT), "-c", f"safe.directory={ROOT}"]
    if subprocess.run([*git, "cat-file", "-e", commit], capture_output=True).returncode:
        pytest.skip("the history of this checkout is cut off")
    with baseline.checkout_of(commit) as tree:
        assert (tree / "benchmarks/runner.py").is_file()
    assert not tree.exists()
    assert str(tree) not in subprocess.run([*git, "worktree", "list"], capture_output=True, text=True).stdout


def test_a_commit_that_is_not_there_is_named():
    with pytest.raises(NoBaseline, match=r"no commit 0{40} in this history; fetch it first"):
        baseline.checkout_of("0" * 40).__enter__()
