"""A job in a container, from the choice of the image to the result; started again where that helps."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import field, replace

from forge_gpu.container import failures
from forge_gpu.container.attached import Attached, Ending
from forge_gpu.container.choose import Found, choices_for, find
from forge_gpu.container.credentials import Credentials, credentials_of
from forge_gpu.container.engines import ContainerEngine, open_engine
from forge_gpu.container.kernels import level_of, variables, volume_of
from forge_gpu.container.leftovers import owner, remove_leftovers
from forge_gpu.container.mounts import Mount, mounts_of, require_local
from forge_gpu.container.protocol import Failed, Finished
from forge_gpu.container.rights import Surroundings, arguments, memory_limit
from forge_gpu.errors import ContainerError
from forge_gpu.hardware import shares
from forge_gpu.io.atomic import make_folder
from forge_gpu.io.inputs import STDIN
from forge_gpu.io.upload import Store
from forge_gpu.job.events.dispatch import Dispatcher
from forge_gpu.job.events.encode import Entry
from forge_gpu.job.events.events import FellBack, JobEnded, JobFailed, JobStarted, Retried, StageStarted
from forge_gpu.job.output.result import Result
from forge_gpu.job.state.files import JobFiles
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.plain import mutable

STAGE = "container"
BACKOFF = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds between two looks for an engine that has gone."""
MOST_LOSSES = 3
LEAST_BUDGET = 16 * 2**20


class GpuLost(Exception):
    """The job in a container has given up its GPU. A container can lose one that the host still has."""


def run(
    spec: JobSpec, dispatcher: Dispatcher, check_stop: Callable[[], None], files: JobFiles
) -> Result | None:
    """Run a job in the container that its plan asks for, and return what came out; None where the plan says
    `auto` and there is no container to run it in, so that it runs here. Raises ForgeError."""
    is_auto = spec.config.container.use == "auto"
    require_local(spec)
    make_folder(spec.output)
    credentials = credentials_of(spec)
    mounts = mounts_of(spec, files, credentials.files)
    choices = choices_for(spec.config)
    for number, choice in enumerate(choices):
        job = None
        try:
            engine = open_engine(spec.config.container.engine)
            job = ContainedJob(
                spec, engine, find(engine, choice), mounts, credentials, dispatcher, check_stop
            )
            return job.run(any(file.url == STDIN for file in files.inputs))
        except ContainerError as fault:
            begun = job is not None and job.has_begun
            if not is_auto or begun or fault.exit_code != ContainerError("").exit_code:
                raise
            if spec.config.preprocessing.engine == "gpu":
                raise
            rest = choices[number + 1 :]
            dispatcher(FellBack(STAGE, f"{fault}; going on {f'in {rest[0].image}' if rest else 'without'}"))
    return None


@mutable
class ContainedJob:
    """One job, in one container after another until it has a result."""

    spec: JobSpec
    engine: ContainerEngine
    found: Found
    mounts: list[Mount]
    credentials: Credentials
    dispatcher: Dispatcher
    check_stop: Callable[[], None]
    has_begun: bool = False
    stage: str = "open"
    started: JobStarted | None = None
    ended: JobEnded | None = None
    _watches_gpu: bool = False
    _names: list[str] = field(default_factory=list)

    def run(self, has_input: bool) -> Result:
        """has_input: the job reads standard input, which cannot be given to a second container."""
        self.dispatcher.relays = True
        self._watches_gpu = bool(self.found.gpus)
        remove_leftovers(self.engine)
        made = self._surroundings()
        about = {
            "container_engine": f"{self.engine.name} {self.engine.version}",
            "image": self.found.name,
            "digest": self.found.image.id,
        }
        spec = replace(self.spec, surroundings=self.spec.surroundings | about)
        try:
            return self._run(spec, made, has_input)
        finally:
            self.dispatcher.relays = False
            for name in self._names:
                self.engine.remove(name)

    def _surroundings(self) -> Surroundings:
        container = self.spec.config.container
        level = level_of(self.found.image)
        volume = None if level else volume_of(self.engine, container.cache, self.found.name)
        return Surroundings(
            self.found.name,
            self.mounts,
            memory_limit(container.memory),
            container.network,
            self.found.gpus,
            self.credentials.variables,
            variables(level, volume),
            volume,
        )

    def _run(self, spec: JobSpec, made: Surroundings, has_input: bool) -> Result:
        losses, had_less = 0, False
        while True:
            name = f"forge-{os.urandom(4).hex()}"
            try:
                ending = self._attempt(name, spec, made, has_input)
            except GpuLost as reason:
                self._watches_gpu = False
                self._tell_of_retry("the container, for its GPU is gone", 1, str(reason))
                continue
            match ending.last:
                case Finished():
                    return self._result(ending.last)
                case Failed():
                    raise ending.last.error()
            if failures.is_out_of_memory(ending):
                error = failures.out_of_memory(self.stage, made.memory)
                if had_less or has_input or self.started is None:
                    raise error
                had_less = True
                spec = _with_half(spec, self.started)
                self._tell_of_retry("the job with half its memory and threads", 1, str(error))
            elif failures.is_lost(ending):
                losses += 1
                error = ContainerError(
                    f"the connection to {self.engine.name} was lost; run the same command again to go on"
                )
                if losses > MOST_LOSSES or has_input:
                    raise error
                if self._find_again(name, error):
                    spec = replace(
                        spec, wait=None
                    )  # for the container that goes on: its lock says when it ends
                self._tell_of_retry("the container", losses, str(error))
            else:
                raise failures.failure(ending, self.found.name)

    def _attempt(self, name: str, spec: JobSpec, made: Surroundings, has_input: bool) -> Ending:
        self._names.append(name)
        self.ended = None
        self.engine.create(arguments(self.engine, made, name, owner()))
        attached = Attached(self.engine, name, self.found.name, spec, self._hear, has_input)
        return attached.run(self.check_stop)

    def _hear(self, entry: Entry) -> None:
        """Pass an event on. The job's end is told with its result, its failure by the error."""
        event = entry.event
        match event:
            case JobEnded():
                self.ended = event
                return
            case JobFailed():
                return
            case JobStarted():
                self.has_begun, self.started = True, event
            case StageStarted():
                self.stage = event.stage
            case FellBack() if self._watches_gpu:
                raise GpuLost(event.reason)
        self.dispatcher(event)

    def _result(self, finished: Finished) -> Result:
        destination = self.spec.destination
        place = self.spec.output if destination is None else Store(destination).path
        if self.ended is not None:
            self.dispatcher(self.ended)
        return Result.of(place, finished.manifest, finished.was_finished)

    def _tell_of_retry(self, what: str, attempt: int, error: str) -> None:
        self.dispatcher(Retried(STAGE, what, attempt, error))

    def _find_again(self, name: str, error: ContainerError) -> bool:
        """Wait until the engine answers again; whether the container still runs. Raises `error` where it does
        not answer in time."""
        for seconds in BACKOFF:
            self._sleep(seconds)
            if self.engine.answers():
                state = self.engine.state(name)
                return state is not None and state.is_running
        raise error

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.check_stop()
            time.sleep(min(0.1, seconds))


def _with_half(spec: JobSpec, started: JobStarted) -> JobSpec:
    """The job with half the memory and threads that it had."""
    settings = spec.config.preprocessing
    less = {
        "budget": max(shares.AFTER_OUT_OF_MEMORY.of(started.memory_budget), LEAST_BUDGET),
        "threads": max(started.threads // 2, 1),
    }
    settings = settings.model_copy(update={"memory": settings.memory.model_copy(update=less)})
    return replace(spec, config=spec.config.model_copy(update={"preprocessing": settings}))
