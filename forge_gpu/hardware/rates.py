"""How fast this machine is: what runs of Forge took here, in a small file of the user's own cache folder.

The file is somebody's JSON: it is read within bounds and believed where every number is one, and otherwise it
is as if there were none. No row, path or setting is in it, only digests and numbers. It never leaves the
machine, and no byte of an output depends on it.
"""

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

VERSION = 2
MOST_BYTES = 2**20
MOST_ENTRIES = 256
NEW = 0.5
"""The weight of a new measurement beside all before it."""
SAME_SIZE = 4
"""Jobs are of about one size where neither has more than so many times the bytes of the other."""
GPU_START = 20.0
"""Seconds that a GPU's libraries, contexts and kernels are expected to take, where no run here has told."""
GPU_TAKES = 0.34
"""The part of the passes' seconds that is in calls which a device can take, on one core and for flat rows."""
CORE_SECONDS_PER_BYTE = 2.7e-9
"""What the passes take of a core with the default checks, where none has told (docs/performance.md)."""
NEVER = 2**62
"""Bytes that no input has."""
WORTH_MEASURING = 4 * 2**20
"""Bytes of input from which on seconds say what a byte takes of an engine, and not what a job does."""

Number = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]
Key = Annotated[str, Field(max_length=64)]
Value = TypeVar("Value")


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)  # all at once, by `Rates`


class Kind(_Part):
    """What jobs of one kind took: the same settings on other data. bytes: of input. stages: seconds. imports,
    work: bytes of memory before the first row, and the most beyond that. All are averages with the same
    weights, so that they are a job that lies on the line which jobs of several sizes make."""

    runs: Annotated[int, Field(ge=1, le=10**9)]
    bytes: Number
    stages: Annotated[dict[Key, Number], Field(max_length=32)]
    imports: Number = 0
    work: Number = 0

    def is_about(self, size: float) -> bool:
        """Whether so many bytes of input are about as many as these jobs had."""
        return self.bytes / SAME_SIZE <= size <= self.bytes * SAME_SIZE


class Engine(_Part):
    """What an engine takes to start, and what its passes take of a byte."""

    start: Number
    seconds_per_byte: Number


class Launch(_Part):
    """What a process takes until it has loaded what a job needs. cpu: seconds of processors. seen: when that
    was, in seconds since 1970."""

    seconds: Number
    cpu: Number
    seen: Number


class Rates(_Part):
    """kinds: by digest. engines: by name. launches: by digest of what is loaded. known: rows by fate of jobs
    that ended, by a digest of their data and of what decides fates. foretold: by digest of the job, what was
    last said of it. starts: by digest of driver, GPUs and versions, when the GPU's libraries started."""

    version: Annotated[int, Field(ge=VERSION, le=VERSION)] = VERSION
    kinds: Annotated[dict[Key, Kind], Field(max_length=MOST_ENTRIES)] = {}
    engines: Annotated[dict[Key, Engine], Field(max_length=8)] = {}
    launches: Annotated[dict[Key, Launch], Field(max_length=MOST_ENTRIES)] = {}
    known: Annotated[dict[Key, dict[Key, Number]], Field(max_length=MOST_ENTRIES)] = {}
    foretold: Annotated[dict[Key, dict[Key, Number]], Field(max_length=MOST_ENTRIES)] = {}
    starts: Annotated[dict[Key, Number], Field(max_length=MOST_ENTRIES)] = {}


def rates_file() -> Path:
    """FORGE_RATES, else in the folder of Forge in the user's cache."""
    named = os.environ.get("FORGE_RATES")
    if named:
        return Path(named)
    folder, home = os.environ.get("FORGE_CACHE_DIR"), os.environ.get("XDG_CACHE_HOME")
    if folder:
        return Path(folder) / "rates.json"
    try:
        user = Path(home) if home else Path.home() / ".cache"
    except RuntimeError:  # no home folder, as in a container with a bare uid
        user = Path(tempfile.gettempdir()) / f"forge-{os.geteuid()}"
    return user / "forge_gpu" / "rates.json"


def read_rates() -> Rates:
    """What is known; nothing where the file is another's, too large, or no such JSON."""
    with suppress(OSError, ValueError, RecursionError, ValidationError):
        descriptor = os.open(rates_file(), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            is_ours = status.st_uid in (os.geteuid(), 0) and not status.st_mode & stat.S_IWOTH
            if stat.S_ISREG(status.st_mode) and is_ours and status.st_size <= MOST_BYTES:
                return Rates.model_validate_json(file.read(MOST_BYTES + 1), strict=False)
    return Rates()


def write_rates(rates: Rates) -> None:
    """Leave them for later runs; a folder that cannot be written to is no fault of anybody's."""
    path = rates_file()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, beside = tempfile.mkstemp(
            prefix=".rates-", dir=path.parent
        )  # readable by its owner alone
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(rates.model_dump_json().encode())
            os.replace(beside, path)
        except OSError:
            Path(beside).unlink(missing_ok=True)
            raise


def with_entry(entries: dict[str, Value], key: str, value: Value) -> dict[str, Value]:
    """The entries and this one as the newest; the oldest go where there are too many."""
    rest = [(name, entry) for name, entry in entries.items() if name != key]
    return dict([*rest, (key, value)][-MOST_ENTRIES:])


def mixed(before: float | None, now: float) -> float:
    """An average in which what is older counts for less."""
    return now if before is None else (1 - NEW) * before + NEW * now


def learned(rates: Rates, kind: str, size: int, stages: dict[str, float], imports: int, peak: int) -> Rates:
    """The rates after a run. size: bytes of input. stages: seconds. imports, peak: bytes of memory."""
    before = rates.kinds.get(kind)
    if before is not None and not before.is_about(size):
        before = None  # a job of quite another size says nothing of this one
    earlier = before.stages if before else {}
    now = Kind(
        runs=(before.runs if before else 0) + 1,
        bytes=mixed(before.bytes if before else None, size),
        stages={stage: mixed(earlier.get(stage), spent) for stage, spent in stages.items()},
        imports=mixed(before.imports if before else None, imports),
        work=mixed(before.work if before else None, max(peak - imports, 0)),
    )
    return rates.model_copy(update={"kinds": with_entry(rates.kinds, kind, now)})


def with_engine(rates: Rates, engine: str, size: int, start: float, passes: float) -> Rates:
    """The rates after an engine has worked on so many bytes. start, passes: seconds."""
    if size < WORTH_MEASURING:
        return rates
    before = rates.engines.get(engine)
    now = Engine(
        start=mixed(before.start if before else None, start),
        seconds_per_byte=mixed(before.seconds_per_byte if before else None, passes / size),
    )
    return rates.model_copy(update={"engines": with_entry(rates.engines, engine, now)})


def worth_gpu(rates: Rates, cores: int) -> int:
    """Bytes of input from which on a GPU saves more seconds than it takes to start.

    As runs on this machine tell. Where none has used the GPU: by what a device can take of what `cores` do,
    and the seconds that its start is expected to take.
    """
    cpu, gpu = rates.engines.get("cpu"), rates.engines.get("gpu")
    of_cpu = cpu.seconds_per_byte if cpu else CORE_SECONDS_PER_BYTE / cores
    if gpu is None:
        return int(GPU_START / (GPU_TAKES * of_cpu)) if of_cpu > 0 else NEVER
    saved = of_cpu - gpu.seconds_per_byte
    return int(max(gpu.start - (cpu.start if cpu else 0.0), 0) / saved) if saved > 0 else NEVER
