"""Output for a URL: made whole in a folder of this machine, then uploaded, the manifest last.

Where the manifest is, the output is whole: the one of an earlier job is removed before anything else changes.
What has been uploaded is noted in `.forge/uploaded.json`, so that a killed run goes on with the file in hand.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, field
from pathlib import Path

import orjson

from forge_gpu.errors import ConfigError, OutputError
from forge_gpu.fates import name
from forge_gpu.io import urls
from forge_gpu.io.atomic import write_atomic
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.sinks.registry import format_of, is_output
from forge_gpu.io.upload import Store
from forge_gpu.job.events.events import ChunkDone, Listener
from forge_gpu.job.events.memory import peak_memory
from forge_gpu.job.events.retry import telling
from forge_gpu.job.events.stages import stage
from forge_gpu.job.output.output_guard import ADVICE, is_manifest, is_ours_by_name
from forge_gpu.job.output.result import LEDGER, MANIFEST, PAGE, PAGE_BEGINNING, Result
from forge_gpu.job.state.decisions import SPLITS
from forge_gpu.job.state.place import FOLDER, STAGING
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.plain import mutable

STAGE = "upload"
UPLOADED = "uploaded.json"


def place_of(output: str | Path, staging: str | Path | None) -> tuple[Path, str | None]:
    """The folder in which a job's output is made, and the URL that it is then moved to, if it is for one.

    staging: the folder for output at a URL; one below the present folder if None. Raises ConfigError.
    """
    url = str(output)
    if urls.is_url(url) and not url.startswith("file://"):
        url = url.rstrip("/")
        return (_staging_folder(url) if staging is None else Path(staging)), url
    if staging is not None:
        raise ConfigError(f"staging: is for output at a URL, but {url} is a folder; leave it out")
    return Path(url.removeprefix("file://")), None


def _staging_folder(url: str) -> Path:
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", urls.shown(url)).strip("-.")
    digest = hashlib.blake2b(url.encode(), digest_size=4).hexdigest()
    return Path.cwd() / STAGING / f"{readable[-80:]}-{digest}"


@mutable
class Uploaded:
    """What is on the store. url: of the folder; manifest: the SHA-256 of the one it belongs to; files: the
    fingerprint of each file there."""

    url: str
    manifest: str
    files: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, staging: Path) -> Uploaded | None:
        """What an earlier run from this folder noted."""
        try:
            return cls(**orjson.loads((staging / FOLDER / UPLOADED).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    @classmethod
    def of(cls, staging: Path, store: Store, manifest: bytes | None) -> Uploaded:
        """The same, if it was of this store and manifest; else that nothing is there."""
        result = cls.load(staging)
        upload = cls(str(store.path), hashlib.sha256(manifest or b"").hexdigest())
        same = result is not None and (result.url, result.manifest) == (upload.url, upload.manifest)
        return result if result is not None and same else upload

    def save(self, staging: Path) -> None:
        write_atomic(staging / FOLDER / UPLOADED, orjson.dumps(asdict(self)))


def require_store(spec: JobSpec, listener: Listener) -> None:
    """Raise OutputError where the job's output cannot be written, if it goes to a URL."""
    if spec.destination is not None:
        named = spec.config.output.format
        if any("/" in file for files in format_of(named).names("train", 0, None) for file in files):
            raise OutputError(
                f"output.format {named} makes folders, which are not uploaded: prepare into a folder here"
            )
        Store(spec.destination, telling("open", listener)).require_writable()


def require_own_store(spec: JobSpec, inputs: Sequence[InputFile], listener: Listener) -> None:
    """Raise OutputError for a file at the job's URL that is named as an output, but is an input, or that no
    run of Forge wrote. What a run from this folder has begun to upload is its own."""
    if spec.destination is None:
        return
    store = Store(spec.destination, telling("open", listener))
    there = sorted(file for file in store.names() if is_ours_by_name(file))
    for file in there:
        if any(store.is_at(source.url, file) for source in inputs if source.is_remote):
            raise OutputError(
                f"{store.path / file}: is an input, and the output would be written over it; {ADVICE}"
            )
    begun = Uploaded.load(spec.output)
    is_own = begun is not None and begun.url == str(store.path)
    if there and not is_own and not is_manifest(store.read(MANIFEST)):
        raise OutputError(
            f"{store.path / there[0]}: already exists, and no run of Forge finished it; {ADVICE}"
        )


def find_finished(spec: JobSpec, manifest_sha256: str, listener: Listener) -> Result | None:
    """The result of a job that an earlier run has finished; None where its files are no longer as it left
    them. Output for a URL may be there already, or here still."""
    here = Result.load(spec.output, manifest_sha256)
    if here is not None or spec.destination is None:
        return here
    store = Store(spec.destination, telling("open", listener))
    data = store.read(MANIFEST)
    if data is None or hashlib.sha256(data).hexdigest() != manifest_sha256:
        return None
    result = Result.of(store.path, orjson.loads(data), was_finished=True)
    uploaded = Uploaded.of(spec.output, store, data)
    return result if _is_there(store, uploaded, _names(result)) else None


def publish(spec: JobSpec, result: Result, listener: Listener, check_stop: Callable[[], None]) -> Result:
    """Upload a finished output to the job's URL, if it has one, and remove it here. Raises OutputError."""
    if spec.destination is None:
        return result
    if isinstance(result.output, Path):
        store = Store(spec.destination, telling(STAGE, listener))
        result = _uploaded(store, result.output, result, listener, check_stop)
    for file in (*_names(result), PAGE):
        (spec.output / file).unlink(missing_ok=True)
    return result


def _names(result: Result) -> list[str]:
    """The files of an output, but for its manifest."""
    return [*(entry["file"] for entry in result.manifest["outputs"]), LEDGER]


def _uploaded(
    store: Store, staged: Path, result: Result, listener: Listener, check_stop: Callable[[], None]
) -> Result:
    manifest = (staged / MANIFEST).read_bytes()
    uploaded = Uploaded.of(staged, store, manifest)
    names = _names(result)
    verify = result.manifest["config"]["output"]["verify"]
    with stage(STAGE, listener, sum((staged / file).stat().st_size for file in names)) as done:
        was_there = store.read(MANIFEST) == manifest and _is_there(store, uploaded, names)
        if not was_there:
            uploaded.save(staged)
            store.remove(MANIFEST)  # from here on there is no finished output
            _remove_stale(store, names)
            for file in names:
                _upload(store, staged / file, uploaded, verify, listener, check_stop)
                uploaded.save(staged)
            if not _is_there(store, uploaded, names):
                raise OutputError(
                    f"{store.path}: changed while it was written; does another run write there? "
                    "Run the same command again when it has ended"
                )
            _put_page(store, staged / PAGE)
            store.put(MANIFEST, manifest)
        done(result.manifest["rows"])
    return Result.of(store.path, result.manifest, result.was_finished and was_there)


def _upload(
    store: Store,
    path: Path,
    uploaded: Uploaded,
    verify: bool,
    listener: Listener,
    check_stop: Callable[[], None],
) -> None:
    """Send one file, unless it is there."""
    noted = uploaded.files.get(path.name)
    if noted is not None and noted == store.fingerprint(path.name):
        listener(ChunkDone(STAGE, 0, path.stat().st_size, 0.0, peak_memory()))
        return
    began = time.monotonic()

    def on_part(size: int) -> None:
        nonlocal began
        now = time.monotonic()
        listener(ChunkDone(STAGE, 0, size, now - began, peak_memory()))
        began = now
        check_stop()

    uploaded.files[path.name] = store.upload(path, on_part, verify)


def _put_page(store: Store, path: Path) -> None:
    """Send the page, if there is one, and none of anyone else's lies there."""
    there = store.read(PAGE) if path.exists() else None
    if path.exists() and (there is None or there.startswith(PAGE_BEGINNING)):
        store.put(PAGE, path.read_bytes())


def _is_there(store: Store, uploaded: Uploaded, names: list[str]) -> bool:
    """Whether all files are on the store, as they were sent."""
    noted = [uploaded.files.get(file) for file in names]
    return None not in noted and [store.fingerprint(file) for file in names] == noted


def _remove_stale(store: Store, ours: list[str]) -> None:
    """Remove files of an earlier job that this one does not write, so that no reader takes both."""
    for result in store.names():
        if result not in ours and any(is_output(result, name(split)) for split in SPLITS):
            store.remove(result)
