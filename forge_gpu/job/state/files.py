"""The files that a job reads, looked up once."""

from __future__ import annotations

from functools import cached_property

from forge_gpu.io.faults import OnRetry, ignore_retry
from forge_gpu.io.inputs import InputFile, resolve
from forge_gpu.job.state.given import with_splits
from forge_gpu.job.state.spec import JobSpec


class JobFiles:
    """What the paths of a job name. Whoever asks first has them resolved and fingerprinted, for all who ask
    later; that raises InputError. skipped: path -> why, of what was passed over so far."""

    def __init__(self, spec: JobSpec, on_retry: OnRetry = ignore_retry) -> None:
        self._spec = spec
        self._on_retry = on_retry
        self.skipped: dict[str, str] = {}

    @cached_property
    def inputs(self) -> list[InputFile]:
        spec = self._spec
        files = resolve(spec.config.data.inputs, spec.base, self.skipped.__setitem__, self._on_retry)
        return with_splits(files, spec.config.data.splits, spec.base)

    @cached_property
    def against(self) -> list[InputFile]:
        """The evaluation files."""
        spec, named = self._spec, self._spec.config.data.against
        base = spec.against_base or spec.base
        return resolve(named, base, self.skipped.__setitem__, self._on_retry) if named else []

    @property
    def size(self) -> int | None:
        """Bytes of all inputs; None where those of one are not known."""
        sizes = [file.size for file in self.inputs]
        return None if None in sizes else sum(size or 0 for size in sizes)
