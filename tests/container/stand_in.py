"""A stand-in for `docker`: a program of that name that keeps containers as files, and runs a job as a process
of this machine or plays an ending.

It is both the program and, imported, what a test sets it up with: `StandIn(folder).play(...)`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

IMAGE = {"Id": "sha256:1234", "Config": {"Labels": {}}}
JOB = {"job": True}
"""An act: the job itself runs."""
CHECKOUT = Path(__file__).parents[2]


class StandIn:
    """Its folder: `acts.json`, what each `start` does, in order, the last one again and again; `calls`, what
    it was called with, a line each; a file a container."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"

    def install(self, name: str = "docker", **settings: Any) -> None:
        """settings: info (what `info` prints), images (name -> description), down (what it says where nothing
        answers)."""
        self.bin.mkdir(parents=True, exist_ok=True)
        program = self.bin / name
        program.write_text(f"#!{sys.executable}\nfrom tests.container.stand_in import main\nmain()\n")
        program.chmod(0o755)
        usual = {"info": {"ServerVersion": "1.0"}, "images": {"forge:cpu": IMAGE}, "down": None}
        (self.folder / "settings.json").write_text(json.dumps(usual | settings))
        self.play(JOB)

    def play(self, *acts: dict[str, Any]) -> None:
        (self.folder / "acts.json").write_text(json.dumps(acts))

    def calls(self, command: str) -> list[list[str]]:
        """The arguments of each call of a command so far."""
        lines = (self.folder / "calls").read_text().splitlines() if (self.folder / "calls").exists() else []
        return [call[1:] for call in map(json.loads, lines) if call[0] == command]

    def add(self, name: str, labels: dict[str, str], status: str = "exited") -> None:
        """A container that already exists."""
        self._save(name, {"labels": labels, "state": {"Status": status, "ExitCode": 0}})

    def containers(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("*.container"))

    def volumes_are_lacking(self) -> None:
        (self.folder / "no-volumes").touch()

    def is_running(self) -> bool:
        return any('"running"' in path.read_text() for path in self.folder.glob("*.container"))

    # What the program does.

    def main(self, arguments: list[str]) -> int:
        with open(self.folder / "calls", "a") as calls:
            calls.write(json.dumps(arguments) + "\n")
        settings = json.loads((self.folder / "settings.json").read_text())
        if settings["down"]:
            print(settings["down"], file=sys.stderr)
            return 1
        command, *rest = arguments
        match command:
            case "info":
                print(json.dumps(settings["info"]))
            case "image":
                return self._describe(settings["images"].get(rest[-1]))
            case "container":
                made = self._load(rest[-1])
                return self._describe(
                    None if made is None else {"State": made["state"], "Config": {"Labels": made["labels"]}}
                )
            case "create":
                return self._create(rest)
            case "start":
                return self._start(rest[-1])
            case "kill":
                return self._kill(rest[1], rest[-1])
            case "rm":
                self._kill("KILL", rest[-1])
                self._path(rest[-1]).unlink(missing_ok=True)
            case "volume":
                return int(rest[0] == "inspect" and (self.folder / "no-volumes").exists())
            case "ps":
                print("\n".join(self.containers()))
        return 0

    def _describe(self, result: object) -> int:
        print(json.dumps([] if result is None else [result]))
        return int(result is None)

    def _create(self, arguments: list[str]) -> int:
        name = arguments[arguments.index("--name") + 1]
        label = arguments[arguments.index("--label") + 1].partition("=")
        self._save(name, {"labels": {label[0]: label[2]}, "state": {"Status": "created", "ExitCode": 0}})
        return 0

    def _start(self, name: str) -> int:
        acts = json.loads((self.folder / "acts.json").read_text())
        act = acts[min(len(self.calls("start")), len(acts)) - 1]
        if "job" in act:
            return self._run(name, act)
        for line in act.get("lines", ()):
            print(json.dumps(line), flush=True)
            if "hello" in line:
                sys.stdin.readline()
        if act.get("sleeps"):
            self._save(name, {"labels": {}, "state": {"Status": "running", "ExitCode": 0}})
            signal.pause()
        print(act.get("says", ""), file=sys.stderr)
        if act.get("engine_goes"):
            settings = json.loads((self.folder / "settings.json").read_text())
            (self.folder / "settings.json").write_text(json.dumps(settings | {"down": "cannot connect"}))
        state = {"Status": "exited", "ExitCode": act["code"]} | act.get("state", {})
        if state["Status"] == "gone":
            self._path(name).unlink()
        else:
            self._save(name, {"labels": {}, "state": state})
        return int(act["code"])

    def _run(self, name: str, act: dict[str, Any]) -> int:
        child = subprocess.Popen([sys.executable, "-m", "forge_gpu.report.inside"], start_new_session=True)
        self._save(name, {"labels": {}, "pid": child.pid, "state": {"Status": "running", "ExitCode": 0}})
        while "killed_at" in act and child.poll() is None:
            if os.path.exists(act["killed_at"]):
                child.kill()
            time.sleep(0.002)
        code = child.wait()
        code = 128 - code if code < 0 else code
        if self._load(name) is not None:
            state = {"Status": "exited", "ExitCode": code, "OOMKilled": act.get("oom", False)}
            self._save(name, {"labels": {}, "state": state})
        return code

    def _kill(self, number: str, name: str) -> int:
        made = self._load(name) or {}
        if made.get("pid"):
            os.kill(made["pid"], signal.Signals[f"SIG{number.removeprefix('SIG')}"])
        return 0

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.container"

    def _load(self, name: str) -> dict[str, Any] | None:
        path = self._path(name)
        result: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
        return result

    def _save(self, name: str, made: dict[str, Any]) -> None:
        beside = self.folder / f"{name}.new"
        beside.write_text(json.dumps(made))
        beside.rename(self._path(name))


def main() -> None:
    sys.exit(StandIn(Path(os.environ["FORGE_STAND_IN"])).main(sys.argv[1:]))
