"""Ranges on the workers of a Dask cluster: the same `map` as job.pool, in processes that may be elsewhere.

A task is a `partial` of a step with an `item`, the range it works on. What travels to a worker is the step's
name, the range's number and the other arguments; each worker opens the inputs itself, once a job. So the
inputs, and the output folder in which decoded input is spooled, must have the same names on every machine.
"""

from __future__ import annotations

import copy
import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar
from uuid import uuid4

from forge_gpu.engine.base import Engine
from forge_gpu.engine.choose import EngineFactory, engine_factory
from forge_gpu.errors import ForgeError
from forge_gpu.hardware.gpus import GPUs, read_gpus
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.spool import Spool
from forge_gpu.job.events.events import Event
from forge_gpu.job.facts.registry import input_columns
from forge_gpu.job.rows.evaluation import read_evaluation
from forge_gpu.job.rows.expansions import open_expansions
from forge_gpu.job.rows.workspace import Workspace
from forge_gpu.job.run.cuda_cluster import CudaWorkers
from forge_gpu.job.run.opening import open_inputs
from forge_gpu.job.run.pool import Hold, is_complete
from forge_gpu.job.state.inputs import JobInputs
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.plain import frozen

Made = TypeVar("Made")
Result = TypeVar("Result")

AHEAD = 2
"""Ranges in flight for each thread of a worker: one to work on, one to have at hand."""

CONNECT = 30
"""Seconds that a scheduler may take to answer."""


@frozen
class WorkerJob:
    """What a worker must know of a job. token: tells jobs apart; engine: what it asks for; cuda: workers on
    GPUs, None where they are not, or not of this job's making."""

    token: str
    spec: JobSpec
    files: tuple[InputFile, ...]
    against: tuple[InputFile, ...]
    spool_folder: Path
    engine: str
    cuda: CudaWorkers | None = None


class ClusterPool:
    """Runs tasks on a cluster and gives their results in the order of the tasks, few in flight at once.

    A task whose worker is lost runs again on another. Raises ForgeError where the cluster cannot be reached,
    or its scheduler is gone: what was done by then is kept.
    """

    def __init__(self, spec: JobSpec, job: WorkerJob, first: Workspace) -> None:
        self.first = first
        self._job = job
        self._cluster: Any = None
        try:
            distributed: Any = import_module("distributed")
        except ImportError:
            raise ForgeError("--workers and --scheduler need dask: pip install 'forge-gpu[dask]'") from None
        try:
            if spec.scheduler is None:
                self._cluster = _local_cluster(distributed, spec, job.cuda)
            elif spec.scheduler.startswith("tls://"):
                _require_certificates(distributed, spec.scheduler)
            address = self._cluster or spec.scheduler
            self._client = distributed.Client(address, set_as_default=False, timeout=CONNECT)
        except (OSError, TimeoutError, ValueError) as fault:
            where = spec.scheduler or "this machine"
            raise ForgeError(
                f"no Dask scheduler answers at {where}: {' '.join(str(fault).split())}"
            ) from None
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        self.threads = max(2, AHEAD * sum(worker["nthreads"] for worker in workers))

    def map(
        self,
        tasks: Iterable[Callable[[Workspace], Made]],
        take: Callable[[Made], Result],
        hold: Hold | None = None,
        complete: Callable[[Result], None] = is_complete,
    ) -> Generator[Result, None, None]:
        """Run every task on some worker; see Executor. What travels is a copy: nothing is to `hold`."""
        waiting: deque[Any] = deque()

        def taken(future: Any) -> Result:
            result = take(self._result(future))
            complete(result)
            return result

        try:
            for task in tasks:
                assert isinstance(task, partial)
                keywords = dict(task.keywords)
                number = keywords.pop("item").number
                waiting.append(self._client.submit(_run, self._job, task.func, number, keywords, pure=False))
                if len(waiting) >= self.threads:
                    yield taken(waiting.popleft())
            while waiting:
                yield taken(waiting.popleft())
        finally:
            for future in waiting:
                future.release()

    def _result(self, future: Any) -> Any:
        from concurrent.futures import CancelledError

        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        try:
            result = future.result()
        except (CancelledError, FutureCancelledError, KilledWorker, OSError, TimeoutError) as fault:
            raise ForgeError(
                f"the Dask cluster is gone ({type(fault).__name__}); what is done is kept: run the same "
                "command again to go on"
            ) from fault
        if isinstance(result, _Raised):
            raise result.error
        return result

    def close(self) -> None:
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def _require_certificates(distributed: Any, address: str) -> None:
    """Raise ForgeError where Dask's settings name none, which its client would find out too late."""
    if distributed.Security().get_connection_args("client").get("ssl_context") is None:
        raise ForgeError(
            f"{address} takes certificates: name them in Dask's settings distributed.comm.tls.ca-file, "
            "client.cert and client.key (see docs/scale.md)"
        )


def _local_cluster(distributed: Any, spec: JobSpec, cuda: CudaWorkers | None) -> Any:
    """A cluster on this machine: a worker a process, or a worker a GPU."""
    options = {"dashboard_address": "127.0.0.1:0", "silence_logs": logging.ERROR}
    if cuda is not None:
        return cuda.start(**options)
    return distributed.LocalCluster(
        n_workers=spec.workers,
        threads_per_worker=1,
        processes=True,
        memory_limit=0,  # the job's own budget bounds memory
        **options,
    )


def worker_job(
    spec: JobSpec,
    files: Sequence[InputFile],
    against: Sequence[InputFile],
    spool_folder: Path,
    make_engine: Callable[[], Engine],
    threads: int,
) -> WorkerJob:
    """The job as its workers are told of it, with folders by their whole names.

    Workers of this machine have the engine that was chosen for the job; those of a running cluster choose
    their own, as the plan asks. threads: of the job; workers on GPUs divide them. Raises ConfigError where
    there are fewer GPUs than workers.
    """
    engine: str = spec.config.preprocessing.engine
    cuda = None
    if spec.workers is not None and isinstance(make_engine, EngineFactory):
        engine = make_engine.name
        cuda = CudaWorkers.of(spec.workers, make_engine.gpus, threads) if engine == "gpu" else None
    folder = spool_folder.absolute()
    return WorkerJob(uuid4().hex, spec, tuple(files), tuple(against), folder, engine, cuda)


@frozen
class _Raised:
    """What a step raised on a worker."""

    error: Exception


class _Opened:
    """A job as a worker has it open: each of its threads takes a workspace for a task."""

    def __init__(self, job: WorkerJob) -> None:
        self.users = 0
        self._job = job
        self._engines = engine_factory(job.engine, gpus=own_gpu if job.cuda else read_gpus)
        if job.cuda is not None:
            self._engines.pools = (job.cuda.pool,)
        spool = Spool(job.spool_folder)
        self.inputs: JobInputs = open_inputs(job.spec, job.files, spool, True, _ignore)
        self._evaluation = read_evaluation(job.spec.config, job.against, spool, self._engines, _ignore)
        self._expansions = open_expansions(job.spec, job.spool_folder)
        self._idle: list[Workspace] = []

    @contextmanager
    def workspace(self) -> Iterator[Workspace]:
        try:
            taken = self._idle.pop()
        except IndexError:
            taken = self._made()
        try:
            yield taken
        finally:
            self._idle.append(taken)

    def _made(self) -> Workspace:
        config = self._job.spec.config
        return Workspace(
            config,
            self._engines,
            _ignore,
            input_columns(config),
            self._evaluation,
            expansions=self._expansions,
        )

    def close(self) -> None:
        self.inputs.close()
        self._expansions.close()


def own_gpu() -> GPUs:
    """A worker on a GPU sees all of them, its own first: the others belong to other workers."""
    result = read_gpus()
    return replace(result, devices=result.devices[:1])


_opened: dict[str, _Opened] = {}
_OPENING = Lock()


@contextmanager
def _in_hand(job: WorkerJob) -> Iterator[_Opened]:
    """The job, opened by the first of a worker's threads that needs it, which closes those in no hand."""
    with _OPENING:
        if job.token not in _opened:
            for token in [token for token, other in _opened.items() if not other.users]:
                _opened.pop(token).close()
            _opened[job.token] = _Opened(job)
        opened = _opened[job.token]
        opened.users += 1
    try:
        yield opened
    finally:
        with _OPENING:
            opened.users -= 1


def _run(job: WorkerJob, step: Callable[..., Any], number: int, keywords: dict[str, Any]) -> Any:
    """One task on a thread of a worker. The result is a copy: the workspace goes to another task."""
    try:
        with _in_hand(job) as opened, opened.workspace() as workspace:
            made = step(workspace, item=opened.inputs.items[number], **keywords)
            return list(map(copy.deepcopy, made)) if isinstance(made, Iterator) else copy.deepcopy(made)
    except Exception as error:  # what a step raises is the job's to judge, not a failure of the worker
        return _Raised(error)


def _ignore(event: Event) -> None:
    """Workers tell nothing: the job's process tells of every range."""
