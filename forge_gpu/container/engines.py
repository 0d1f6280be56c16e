"""Container engines over their command lines: docker and podman take the same commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from forge_gpu.errors import ContainerError
from forge_gpu.plain import frozen

NAMES = ("docker", "podman")
PATIENCE = 60.0
"""Seconds after which a command that should answer at once is taken to hang."""
CDI_FOLDERS = (Path("/etc/cdi"), Path("/var/run/cdi"))


@frozen
class State:
    """Of a container. exit_code: means something once it runs no more. oom: the kernel killed something in it
    for memory, though not always the job."""

    status: str
    exit_code: int
    oom: bool

    @property
    def is_running(self) -> bool:
        return self.status in ("running", "restarting", "paused")


@frozen
class Image:
    """id: the digest of its content. labels: what its Dockerfile says of it."""

    id: str
    labels: Mapping[str, str]


@frozen
class ContainerEngine:
    """One that answers. is_rootless: root in a container is the user who runs the engine. gives_gpus: whether
    NVIDIA's toolkit, or a CDI description of the GPUs, is there."""

    name: str
    version: str
    is_rootless: bool
    gives_gpus: bool

    def command(self, *arguments: str) -> list[str]:
        return [self.name, *arguments]

    def call(self, *arguments: str, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """Run a command to its end. Raises ContainerError where the engine hangs or its program is gone."""
        return _call(self.command(*arguments), timeout)

    def image(self, name: str) -> Image | None:
        """The image of that name, if it is on this machine: none is ever pulled."""
        described = self._inspect("image", name)
        if described is None:
            return None
        return Image(str(described.get("Id")), (described.get("Config") or {}).get("Labels") or {})

    def create(self, arguments: Sequence[str]) -> None:
        """Create a container. Raises ContainerError with what the engine says."""
        done = self.call("create", *arguments)
        if done.returncode:
            raise ContainerError(f"{self.name} could not create the container: {last_line(done.stderr)}")

    def state(self, container: str) -> State | None:
        """None where there is no such container, or the engine does not answer."""
        described = self._inspect("container", container)
        if described is None:
            return None
        state = described.get("State") or {}
        return State(str(state.get("Status")), int(state.get("ExitCode") or 0), bool(state.get("OOMKilled")))

    def answers(self) -> bool:
        try:
            return self.call("version").returncode == 0
        except ContainerError:
            return False

    def signal(self, container: str, name: str) -> None:
        """Send a signal; that the container has just ended is no fault."""
        self.call("kill", "--signal", name, container)

    def remove(self, container: str) -> None:
        """Kill and remove a container, if it is there. Where the engine does not answer it stays: the next
        run finds it by its label."""
        try:
            self.call("rm", "--force", "--volumes", container)
        except ContainerError:
            pass

    def labelled(self, label: str) -> dict[str, str]:
        """Container -> value of the label, of all containers that have it, running or not."""
        listed = self.call("ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={label}")
        result = {}
        for container in listed.stdout.split():
            described = self._inspect("container", container)
            if described is not None:
                result[container] = str(((described.get("Config") or {}).get("Labels") or {}).get(label, ""))
        return result

    def _inspect(self, kind: Literal["image", "container"], name: str) -> dict[str, Any] | None:
        done = self.call(kind, "inspect", name)
        if done.returncode:
            return None
        described = json.loads(done.stdout)
        return described[0] if described else None


def open_engine(choice: str) -> ContainerEngine:
    """The engine of that name, or of `auto` the first that answers. Raises ContainerError, which says what
    was tried."""
    tried = []
    for name in NAMES if choice == "auto" else (choice,):
        try:
            return _open(name)
        except ContainerError as fault:
            tried.append(f"{name}: {fault}")
    raise ContainerError(f"no container engine answers ({'; '.join(tried)})")


def _open(name: str) -> ContainerEngine:
    if shutil.which(name) is None:
        raise ContainerError("is not installed")
    done = _call([name, "info", "--format", "{{json .}}"], PATIENCE)
    try:
        about = json.loads(done.stdout)
    except ValueError:
        about = {}
    faults = about.get("ServerErrors") or []
    if done.returncode or faults or not about:
        raise ContainerError(last_line("\n".join(faults)) if faults else last_line(done.stderr))
    host = about.get("host") or {}  # podman's way to say the same
    version = about.get("ServerVersion") or (about.get("version") or {}).get("Version") or "unknown"
    is_rootless = bool((host.get("security") or {}).get("rootless")) or any(
        "rootless" in option for option in about.get("SecurityOptions") or []
    )
    gives_gpus = "nvidia" in (about.get("Runtimes") or {}) or any(_cdi_files())
    return ContainerEngine(name, str(version), is_rootless, gives_gpus)


def _cdi_files() -> Iterator[Path]:
    for folder in CDI_FOLDERS:
        if folder.is_dir():
            yield from (path for path in folder.iterdir() if path.name.startswith("nvidia"))


def socket_of(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The socket that an engine is told to listen on, by its variable."""
    for variable in ("DOCKER_HOST", "CONTAINER_HOST"):
        host = environ.get(variable, "")
        if host.startswith("unix://"):
            return Path(host.removeprefix("unix://"))
    return None


def last_line(text: str) -> str:
    """What a program said last, without what it says of its usage."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and "--help'" not in line]
    return lines[-1] if lines else "it says nothing"


def _call(command: list[str], timeout: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            start_new_session=True,  # Ctrl-C is for us alone
        )
    except subprocess.TimeoutExpired:
        raise ContainerError(f"'{' '.join(command[:2])}' did not answer within {timeout:g} s") from None
    except OSError as fault:
        raise ContainerError(f"'{command[0]}' cannot be run: {fault.strerror}") from fault
