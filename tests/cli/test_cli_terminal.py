"""What a terminal, a pipe and a closed stream are shown."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from forge_gpu.cli import app

CODE = "from forge_gpu.cli.app import main; main()"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOUR = re.compile(r"\x1b\[[0-9;]+m")


def on_a_terminal(*arguments, columns, cwd=None, **variables):
    """(what was shown, exit code) of `forge` on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environ = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cwd,
        env={**environ, "TERM": "xterm-256color", **variables},
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 2**16)
        except OSError:  # the terminal's end, on Linux
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    return shown.decode().replace("\r\n", "\n"), process.wait()


@pytest.fixture
def data(tmp_path):
    records = [{"question": f"What is {n}?", "answer": f"It is {n}."} for n in range(300)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return tmp_path


def test_lines_are_wrapped_to_the_terminal(data):
    shown, code = on_a_terminal("plan", "--data", "a.jsonl", "--template", "chatml", columns=60, cwd=data)
    assert code == 0 and COLOUR.search(shown)
    lines = ESCAPES.sub("", shown).split("\n")
    assert max(map(len, lines)) <= 60
    assert "Hardware" in lines and "wrote forge.yaml" in lines


@pytest.mark.parametrize("columns", [60, 100])
def test_the_bar_keeps_to_one_line(data, columns):
    on_a_terminal("plan", "--data", "a.jsonl", "--template", "chatml", columns=columns, cwd=data)
    shown, code = on_a_terminal("prepare", columns=columns, cwd=data, NO_COLOR="1")
    assert code == 0 and not COLOUR.search(shown)
    bars = [line for line in re.split(r"[\r\n]", ESCAPES.sub("", shown)) if line.startswith("write ")]
    assert bars and all(len(line.rstrip()) <= columns and " MB " in line for line in bars[-1:])
    assert ("MiB" in bars[-1]) == (columns == 100)


def test_no_color_is_heeded(data):
    shown, code = on_a_terminal("doctor", columns=60, NO_COLOR="1")
    assert code == 0 and "\x1b" not in shown


def test_a_reader_that_goes_away_leaves_the_plan_written(data):
    plan = [sys.executable, "-c", CODE, "plan", "--data", "a.jsonl", "--template", "chatml"]
    with subprocess.Popen(plan, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=data) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
    assert (data / "forge.yaml").exists()


def test_closed_streams_are_no_fault():
    for closed in (">&-", "2>&-", ">&- 2>&-"):
        done = subprocess.run(["sh", "-c", f'"$0" -c "$1" doctor {closed}', sys.executable, CODE])
        assert done.returncode == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_standard_output_is_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", CODE, "doctor"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 2
    assert done.stderr.startswith("error: standard output") and "No space left on device" in done.stderr


@pytest.mark.parametrize(
    ("error", "line", "code"),
    [
        (PermissionError(13, "Permission denied", "x.bin"), "x.bin: Permission denied", 2),
        (
            ValueError("a\nb"),
            "a fault of Forge: ValueError: a b; run again with --debug and report what it",
            70,
        ),
    ],
)
def test_what_no_command_foresaw_is_one_line(error, line, code, monkeypatch, capsys, tmp_path):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(app, "app", fail)
    assert app._run(["plan"], debug=False) == code
    reported = capsys.readouterr().err
    assert reported.startswith(f"error: {line}") and reported.count("\n") == 1
    monkeypatch.chdir(tmp_path)
    assert app._run(["plan"], debug=True) == code
    reported = capsys.readouterr().err
    assert (
        "Traceback" in reported and f"error: {line}" in reported and (tmp_path / "forge-debug.zip").exists()
    )


def test_an_error_cannot_command_the_terminal(capsys):
    assert app._run(["plan", "--data", "a\x1b[31mb.jsonl"], debug=False) == 2
    assert "\x1b" not in capsys.readouterr().err
