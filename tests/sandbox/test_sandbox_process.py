"""Scripts that end their process, hang, flood, lie or try to live on: each ends with one clear line."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest

from forge_gpu.errors import ConfigError
from forge_gpu.sandbox.contract import Script, read_script
from forge_gpu.sandbox.layers import SandboxError
from forge_gpu.sandbox.sandbox import Bounds, Sandbox
from tests.sandbox.boxes import WALLS, layers, transformed

NATIVE = """
import ctypes
LIBC = ctypes.CDLL(None, use_errno=True)
def native(code):
    LIBC.mmap.restype = ctypes.c_void_p
    page = LIBC.mmap(None, ctypes.c_size_t(4096), 7, 0x22, -1, 0)
    ctypes.memmove(page, code, len(code))
    return ctypes.CFUNCTYPE(ctypes.c_long)(page)()
"""
FRAMES = """
import os, struct
def raw(data):
    for pipe in range(3, 16):
        try:
            return os.write(pipe, data)
        except OSError:
            pass
def send(number, rows, word, body):
    raw(struct.pack("<IIII", number, rows, word, len(body)) + body)
def answer(number, lines):
    text = b"\\n".join(lines)
    body = struct.pack("<i", len(lines)) + struct.pack("<I", len(text)) + text + b"[]"
    send(number, 1, 10, body)
"""
ENDS = {  # name -> what the script holds besides, its function's body, what the line says
    "exit": ("import os", "os._exit(3)", "its process ended (3)"),
    "system exit": ("", "raise SystemExit(0)", "SystemExit: 0"),
    "interrupt": ("", "raise KeyboardInterrupt", "KeyboardInterrupt"),
    "address 0": ("import ctypes", "ctypes.string_at(0)", "its process ended (-11)"),
    "abort": ("import os", "os.abort()", "its process ended ("),
    "loop": ("", "while True: pass", "no answer within 1 s"),
    "sleep": ("import time", "time.sleep(99)", "no answer within 1 s"),
    "wait": (
        "import _thread",
        "lock = _thread.allocate_lock(); lock.acquire(); lock.acquire()",
        "no answer within",
    ),
    "pattern": ("import re", "re.match('(a+)+b', 'a' * 60)", "no answer within 1 s"),
    "power": ("", "10 ** 10 ** 8", "no answer within 1 s"),
    "memory": ("", "return {'n': 'a' * (1 << 31)}", "more memory than it may"),
    "memory in pieces": ("", "x = []\nwhile True: x.append(bytearray(1 << 20))", "more memory than it may"),
    "bomb": (
        "import zlib",
        "zlib.decompress(zlib.compress(bytes(1 << 22))) * 999",
        "more memory than it may",
    ),
    "stack": ("import sys", "sys.setrecursionlimit(10**9)\ndef f(): f()\nf()", None),
    "answer": ("", "return [{'n': 'a' * (1 << 20)}] * 24", "at most 16,777,216 are taken"),
    "top level loop": ("while True: pass", "return row", "no answer within 1 s"),
    "top level read": ("open('/etc/passwd').read()", "return row", "PermissionError"),
    "top level exit": ("raise SystemExit('x')", "return row", "SystemExit: x"),
    "top level process": ("import os\nos.fork()", "return row", "PermissionError"),
    "import of a file": ("import antigravity", "return row", "no module 'antigravity' for a transform"),
    "import of a socket": ("import socket", "return row", "no module 'socket' for a transform"),
    "not Python": ("def", "return row", "SyntaxError"),
    "a zero byte": ("x = '\0'", "return row", "null bytes"),
    "frame of its own": (FRAMES, "answer(2, [b'{}'])", "wrote to the pipe"),
    "frame of the next rows": (FRAMES, "answer(2, [b'{}'])\nanswer(3, [b'{}'])", "wrote to the pipe"),
    "frame of another number": (FRAMES, "answer(7, [b'{}'])", "wrote to the pipe"),
    "frame of more rows": (FRAMES, "send(2, 5, 10, b'')", "wrote to the pipe"),
    "frame of no size": (FRAMES, "send(2, 1, 10, b'')", "no worker of Forge gives"),
    "frame of a lying size": (
        FRAMES,
        "send(2, 1, 10, struct.pack('<iI', 1, 99))",
        "no worker of Forge gives",
    ),
    "frame of lines unannounced": (
        FRAMES,
        "send(2, 1, 10, struct.pack('<iI', 0, 2) + b'{}[]')",
        "1 lines where 0",
    ),
    "frame of a blank line": (
        FRAMES,
        "send(2, 1, 10, struct.pack('<iI', 2, 3) + b'{}\\n[]')",
        "1 lines where 2",
    ),
    "frame of two lines in one": (
        FRAMES,
        "send(2, 1, 10, struct.pack('<iI', 1, 5) + b'{}\\n{}[]')",
        "2 lines where 1",
    ),
    "frame of a bad count": (
        FRAMES,
        "send(2, 1, 10, struct.pack('<iI', -9, 0) + b'[]')",
        "no worker of Forge gives",
    ),
    "frame of bad reasons": (
        FRAMES,
        "send(2, 1, 10, struct.pack('<iI', -1, 0) + b'[{}]')",
        "no worker of Forge",
    ),
    "frame of 4 GB": (
        FRAMES,
        "raw(struct.pack('<IIII', 2, 1, 10, 2**32 - 1))",
        "at most 16,777,216 are taken",
    ),
    "a fault of 4 GB": (FRAMES, "send(2, 1, 11, b'x' * 9999)", "at most 4,096 are taken"),
    "garbage": (
        FRAMES,
        "for n in range(3, 9):\n try: os.write(n, b'garbage' * 9)\n except OSError: pass",
        "wrote to",
    ),
    "a closed pipe": ("import os", "os.closerange(0, 64)", None),
    "frames taken": ("import os", "while True: os.read(3, 1)", None),
    "a terminal's codes": ("", "raise SystemExit('\\x1b[2J\\nerror: none')", "SystemExit: [2J error: none"),
}
BOUNDS = Bounds(seconds=1.0, memory=2**28, answer=2**24)


def script(top: str, body: str) -> str:
    lines = "\n".join("    " + line for line in body.split("\n"))
    return f"{top}\ndef transform(row):\n{lines}\n    return row\n"


def ends(text: str, wall: str, bounds: Bounds = BOUNDS) -> str:
    with pytest.raises(SandboxError) as raised:
        transformed(text, [{}], wall, bounds)
    reported = str(raised.value)
    assert "\n" not in reported and all(c.isprintable() for c in reported)
    assert reported.startswith("script.py: ")
    return reported


@pytest.mark.parametrize("name", ENDS)
def test_a_process_that_goes_wrong_ends_with_one_line(name: str) -> None:
    top, body, line = ENDS[name]
    reported = ends(script(top, body), "filter")
    assert line is None or line in reported, reported


def test_each_ending_is_told_alike_behind_other_walls() -> None:
    for name in ("exit", "loop", "memory", "frame of its own", "top level read"):
        top, body, line = ENDS[name]
        for wall in ("landlock", "bubblewrap"):
            reported = ends(script(top, body), wall)
            assert line is not None and line in reported, (wall, reported)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="native code of x86_64")
@pytest.mark.parametrize(
    "code",
    [
        pytest.param(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3", id="getpid of i386"),
        pytest.param(b"\xb8\x05\x00\x00\x00\xcd\x80\xc3", id="open of i386"),
        pytest.param(b"\xb8\x27\x00\x00\x40\x0f\x05\xc3", id="getpid of x32"),
        pytest.param(b"\xb8\x02\x00\x00\x40\x0f\x05\xc3", id="open of x32"),
    ],
)
def test_calls_of_another_architecture_end_the_process(code: bytes) -> None:
    reported = ends(script(NATIVE, f"native({code!r})"), "filter")
    assert f"its process ended ({-signal.SIGSYS})" in reported


def test_what_a_script_prints_goes_nowhere_however_much_it_is() -> None:
    text = script("import sys", "print('x' * 1000, file=sys.stderr)\nprint('y' * 1000)")
    assert transformed(text, [{}] * 2000) == [[{}]] * 2000


def test_the_log_of_a_process_is_bounded() -> None:
    text = script("import os", "os.write(2, b'x' * 2**20)\nfor n in range(99): os.write(2, b'x' * 2**20)")
    (result,) = transformed(text, [{}])
    assert "File too large" in result


@pytest.mark.parametrize("wall", WALLS)
def test_nothing_lives_on_when_forge_is_killed(wall: str, tmp_path: Path) -> None:
    """A script in a loop, and Forge killed by SIGKILL: the processes it started are gone."""
    code = f"""
        from tests.sandbox.boxes import layers
        from forge_gpu.sandbox.sandbox import Bounds, Sandbox
        from forge_gpu.sandbox.contract import Script
        text = "def transform(row):\\n    while True: pass\\n"
        with Sandbox(Script("s", text), Bounds(60.0), layers({wall!r})) as box:
            print(box.process, flush=True)
            box.ask(1, b"{{}}")
        """
    forge = subprocess.Popen([sys.executable, "-c", dedent(code)], stdout=subprocess.PIPE, text=True)
    assert forge.stdout is not None
    started = int(forge.stdout.readline())
    time.sleep(0.2)
    below = [started, *descendants(started)]
    forge.kill()
    forge.wait()
    forge.stdout.close()
    end = time.monotonic() + 10
    while any(is_alive(process) for process in below) and time.monotonic() < end:
        time.sleep(0.02)
    assert [process for process in below if is_alive(process)] == []


def descendants(process: int) -> list[int]:
    path = Path(f"/proc/{process}/task/{process}/children")
    children = [int(child) for child in path.read_text().split()]
    return children + [grandchild for child in children for grandchild in descendants(child)]


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1][0] not in "ZX"
    except OSError:
        return False


def test_the_process_has_ended_with_the_block_and_after_a_fault() -> None:
    with Sandbox(Script("s", "def transform(row): return row\n"), layers=layers("filter")) as box:
        process = box.process
        assert process is not None and is_alive(process)
    assert not is_alive(process)
    box = Sandbox(Script("s", script("import os", "os._exit(0)")), layers=layers("filter"))
    with pytest.raises(SandboxError), box:
        box.ask(1, b"{}")
    assert box.process is None


def test_a_new_process_goes_on_where_one_has_answered_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forge_gpu.sandbox.sandbox.FRAMES", 3)
    text = script("SEEN = []", "SEEN.append(1)\nreturn {'n': len(SEEN)}")
    processes, answers = set(), []
    with Sandbox(Script("s", text), layers=layers("filter")) as box:
        for _ in range(5):
            answers.append(bytes(box.ask(1, b"{}")))
            processes.add(box.process)
    assert len(processes) > 1 and len(set(answers)) < 5


def test_a_script_that_is_no_script_is_told_in_one_line_without_its_content(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("password = hunter2 (")
    link = tmp_path / "transform.py"
    link.symlink_to(secret)
    with pytest.raises(SandboxError) as raised, Sandbox(read_script(link), layers=layers("filter")):
        pass
    assert "SyntaxError" in str(raised.value) and "hunter2" not in str(raised.value)
    for path, content, line in (
        (tmp_path / "none.py", None, "no such file"),
        (tmp_path, None, "no such file"),
        (tmp_path / "binary.py", b"\xff\xfe", "is not UTF-8 text"),
        (tmp_path / "long.py", b"#" * (2**20 + 1), "longer than"),
    ):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigError, match=line):
            read_script(path)


def test_the_environment_of_forge_is_not_that_of_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORGE_SECRET", "hunter2")
    text = script("import os", "return {'environment': json.dumps(dict(os.environ))}").replace(
        "import os", "import os, json"
    )
    ((row,),) = transformed(text, [{}])
    assert set(json.loads(row["environment"])) <= {"LANG", "PYTHONHASHSEED", "LC_CTYPE", "PWD"}
    assert "hunter2" not in os.environ.get("LANG", "") and "hunter2" not in row["environment"]
