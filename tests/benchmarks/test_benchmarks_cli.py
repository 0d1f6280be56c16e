"""The commands of `python -m benchmarks`: what is wrong with their arguments is said in a line."""

import pytest
from typer.testing import CliRunner

from benchmarks import cli


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (["run", "whole_jobs"], "no case 'whole_jobs'; there are whole_job, gzip_job"),
        (["run", "--size", "huge"], "no size 'huge'; there are tiny, small, baseline, gates, full"),
        (["run", "read_jsonl", "--only", "spark"], "no contender 'spark'; there are forge, polars"),
        (["gates", "whole_jobs"], "no case 'whole_jobs'"),
        (["gates", "--size", "huge"], "no size 'huge'"),
        (["gates", "resume"], "no gate is of resume; see benchmarks/gates.yaml"),
        (["compare", "nowhere.json", "nowhere.json"], "nowhere.json"),
    ],
)
def test_a_wrong_argument(arguments, reported):
    done = CliRunner().invoke(cli.app, arguments, env={"COLUMNS": "300"})
    assert done.exit_code == 2 and reported in " ".join(done.output.split())


def test_the_cases_are_listed():
    done = CliRunner().invoke(cli.app, ["list"])
    assert done.exit_code == 0 and "near_dedup" in done.output
