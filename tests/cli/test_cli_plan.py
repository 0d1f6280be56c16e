import json
import os
import subprocess
import sys

import pytest

RECORDS = [{"question": f"What is {n}?", "answer": f"It is {n}."} for n in range(20)]
HEAVY = ("numba", "pandas", "pyarrow", "dask", "cudf", "rich", "ruamel", "pydantic", "jinja2", "numpy")


def forge(*arguments: str, cwd=None, **variables: str) -> subprocess.CompletedProcess:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("FORGE_CONFIG__")}
    code = "from forge_gpu.cli.app import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**environ, **variables},
    )


@pytest.fixture
def data(tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    return tmp_path


def test_plan_writes_a_file_that_loads(data):
    done = forge("plan", "support assistant", "--data", "a.jsonl", "--set", "preprocessing.seed=7", cwd=data)
    assert (done.returncode, done.stderr) == (0, "")
    assert "mapping: flat: query = question, response = answer" in done.stdout
    assert done.stdout.endswith("wrote forge.yaml\nnext: forge prepare\n")
    from forge_gpu.config.load import load

    config = load(data / "forge.yaml", {}).config
    assert (config.preprocessing.seed, config.data.inputs) == (7, ["a.jsonl"])


def test_a_plan_for_a_new_folder_has_its_estimate(data):
    done = forge("plan", "--data", "a.jsonl", "--output", "new/folder/forge.yaml", cwd=data)
    assert done.returncode == 0 and "rows: 20 of 20 will be written" in done.stdout


def test_an_existing_plan_is_kept_beside(data):
    (data / "forge.yaml").write_text("goal: mine\n")
    done = forge("plan", "--data", "a.jsonl", cwd=data)
    assert "the one that was there is now forge.yaml.bak" in done.stdout
    assert (data / "forge.yaml.bak").read_text() == "goal: mine\n"


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (["--data", "none.jsonl"], "none.jsonl: there is no such file"),
        ([], "no data: name it with --data PATH"),
        (["--data", "a.jsonl", "--set", "seeds=1"], "did you mean preprocessing.seed?"),
        (["--data", "a.jsonl", "--engine", "tpu"], "--engine tpu: choose auto, cpu or gpu"),
        (["--data", "a.jsonl", "--model", "llama"], "could be any of llama-2, llama-3"),
        (["--data", "a.jsonl", "--output", "/proc/none/forge.yaml"], "cannot be written"),
        (["--data", "a.jsonl", "--output", "."], ".: is a folder; name the file to write, as forge.yaml"),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(data, arguments, reported):
    done = forge("plan", *arguments, cwd=data)
    assert done.returncode == 2
    assert reported in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not (data / "forge.yaml").exists()


@pytest.mark.parametrize("arguments", [["--debug", "plan"], ["plan", "--debug"]])
def test_debug_shows_the_traceback(data, arguments):
    done = forge(*arguments, cwd=data)
    assert "Traceback" in done.stderr
    assert "InputError" in done.stderr


def test_environment_variables_are_heeded(data):
    forge("plan", "--data", "a.jsonl", cwd=data, FORGE_CONFIG__PREPROCESSING__SEED="9")
    assert "seed: 9" in (data / "forge.yaml").read_text()


def test_names_in_the_data_cannot_command_the_terminal(data):
    (data / "b.jsonl").write_text(json.dumps({"question": "a", "answer": "b", "\x1b[31mred": 1}) + "\n")
    done = forge("plan", "--data", "b.jsonl", cwd=data)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout


def test_doctor_never_fails():
    done = forge("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Hardware" in done.stdout
    assert "GPU path" in done.stdout


def test_help_lists_the_commands_and_loads_nothing_heavy():
    code = (
        "import sys; from forge_gpu.cli.app import main\n"
        "sys.argv = ['forge', '--help']\n"
        "try: main()\n"
        f"finally: print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"
    for command in ("plan", "doctor"):
        assert f"\n  {command} " in done.stdout


def test_version_and_unknown_commands():
    from forge_gpu import __version__

    assert forge("--version").stdout == f"forge-gpu {__version__}\n"
    done = forge("plam")
    assert done.returncode == 2
    assert "plam" in done.stderr


def test_help_of_a_command_shows_its_options():
    done = forge("plan", "--help")
    for option in ("--data", "--model", "--template", "--engine", "--set", "--output"):
        assert option in done.stdout
