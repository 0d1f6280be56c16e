"""What a job leaves on disk so that it can be killed at any moment and go on to the same bytes.

Everything lies in `.forge/` inside the output folder and can be looked at with `ls`:
`job.json` (whose job it is, and how far the writing got), `index/` (one file a range, present when the
range is done), `decisions/` (present when they are made), `spool/`; with tokens `tokens/`, and where what
becomes of a row depends on them `retained/`, the decisions that do not.
"""

from __future__ import annotations

import hashlib
import shutil
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import field, fields
from pathlib import Path
from typing import Any

import orjson

from forge_gpu._version import __version__
from forge_gpu.config import keys
from forge_gpu.config.schema import Config
from forge_gpu.io.atomic import PARTIAL, remove_temporary, write_atomic
from forge_gpu.io.disk import output_fault
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.modes import make_private
from forge_gpu.job.state import arrays, index
from forge_gpu.job.state.index import RowIndex
from forge_gpu.job.state.place import FOLDER
from forge_gpu.plain import frozen, mutable


@frozen
class JobKey:
    """What the output depends on. A checkpoint belongs to one key; any difference starts anew."""

    sources: list[list[Any]]
    config: str
    template: str
    limit: int | None
    version: str
    against: list[list[Any]] = field(default_factory=list)
    expansions: dict[str, str] = field(default_factory=dict)  # what makes rows of rows, beside the plan
    tokenizer: str | None = None  # its content, and the versions of the libraries that encode
    unicode: str | None = None  # the version of Python's Unicode database, where texts are normalised by it

    @classmethod
    def of(
        cls,
        config: Config,
        files: list[InputFile],
        limit: int | None,
        against: Sequence[InputFile] = (),
        expansions: Mapping[str, str] | None = None,
        tokenizer: str | None = None,
    ) -> JobKey:
        settings = keys.effective(config)
        if config.data.weights is not None or config.data.caps is not None:
            settings["data"]["inputs"] = config.data.inputs  # which files are one source
        return cls(
            sources=[
                [file.path, file.size, file.fingerprint, *([file.split] if file.split else [])]
                for file in files
            ],
            config=_digest(orjson.dumps(settings, option=orjson.OPT_SORT_KEYS)),
            template=_digest((config.model.chat_template or "").encode()),
            limit=limit,
            version=__version__,
            against=[[file.path, file.size, file.fingerprint] for file in against],
            expansions=dict(expansions or {}),
            tokenizer=tokenizer,
            unicode=unicodedata.unidata_version if against or config.preprocessing.dedup.near else None,
        )

    @property
    def digest(self) -> str:
        """What tells this job from all others, in its events."""
        return _digest(orjson.dumps(self.__dict__, option=orjson.OPT_SORT_KEYS))[:32]

    def difference(self, other: dict[str, Any]) -> str | None:
        """Which part differs from a stored key, in the user's words; None when none does."""
        names = {
            "sources": "the input files",
            "template": "the chat template",
            "config": "settings that affect the output",
            "limit": "--limit",
            "version": "the version of Forge",
            "against": "the evaluation files",
            "expansions": "what rows are made by (a script, or its Python)",
            "tokenizer": "the tokenizer, or the libraries that encode,",
            "unicode": "the version of Python's Unicode database",
        }
        changed = [words for key, words in names.items() if other.get(key) != getattr(self, key)]
        return " and ".join(changed) if changed else None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@mutable
class State:
    """The contents of job.json."""

    key: dict[str, Any]
    written_blocks: int = 0  # of those with rows, in order
    encoded_blocks: int = 0  # likewise, where tokens are counted before rows are written
    encoded_tokens: int = 0  # that wait in files until then
    positions: dict[str, int] = field(default_factory=dict)  # file -> bytes that are known to be on disk
    result: dict[str, Any] | None = None  # of a finished job


class Checkpoint:
    """The `.forge/` folder of one output folder. Its user holds the output's lock."""

    def __init__(self, output: Path) -> None:
        self.folder = output / FOLDER
        self.index_folder = self.folder / "index"
        self.spool_folder = self.folder / "spool"
        self.decisions = self.folder / "decisions"
        self.retained = self.folder / "retained"
        self.tokens_folder = self.folder / "tokens"
        self.shuffle_folder = self.folder / "shuffle"
        self._state_file = self.folder / "job.json"
        self.state = State({})

    def open(self, key: JobKey, *, fresh: bool) -> str | None:
        """Take up what an earlier run left, or start anew. Returns why it starts anew, if it does.

        Raises OutputError.
        """
        try:
            return self._open(key, fresh)
        except OSError as fault:
            raise output_fault(fault, Path(fault.filename or self.folder)) from fault

    def _open(self, key: JobKey, fresh: bool) -> str | None:
        make_private(self.folder)
        stored = self._load()
        why = None
        if stored is not None:
            difference = key.difference(stored.key)
            if fresh:
                why = "--fresh was given"
            elif difference:
                why = f"{difference} changed since the last run"
        if stored is None or why:
            self._clear()
            self.state = State(orjson.loads(orjson.dumps(key.__dict__)))
        else:
            self.state = stored
        self.index_folder.mkdir(parents=True, exist_ok=True)
        self.spool_folder.mkdir(exist_ok=True)
        for folder in (self.folder.parent, self.folder, self.index_folder, self.spool_folder):
            remove_temporary(folder)
        for path in self.index_folder.iterdir():
            if path.suffix == PARTIAL or not arrays.is_whole(path):
                path.unlink()  # of a run that was killed, or torn by a loss of power
        self.save()
        return why

    def exists(self) -> bool:
        """Whether an earlier run wrote to the output folder."""
        return self._state_file.exists()

    def _clear(self) -> None:
        """Forget all but the spool, whose files are known by what they hold."""
        for path in self._own_folders:
            shutil.rmtree(path, ignore_errors=True)
        self._state_file.unlink(missing_ok=True)

    def _load(self) -> State | None:
        try:
            stored = dict(orjson.loads(self._state_file.read_bytes()))
            # Another version may have kept other things; its key says that it is another.
            return State(
                **{known.name: stored[known.name] for known in fields(State) if known.name in stored}
            )
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            return State({})  # damaged: differs from every key, so the job starts anew and says so

    def save(self) -> None:
        write_atomic(self._state_file, orjson.dumps(self.state.__dict__, option=orjson.OPT_INDENT_2))

    def has_work(self) -> bool:
        """Whether an earlier run left something to go on from."""
        return self.state.written_blocks > 0 or any(self.index_folder.iterdir())

    def index_path(self, item: int) -> Path:
        return self.index_folder / f"{item:08d}.index"

    def has_index(self, item: int) -> bool:
        return self.index_path(item).exists()

    def save_index(self, item: int, made: RowIndex) -> None:
        index.write(self.index_path(item), made)

    def finish(self, result: dict[str, Any]) -> None:
        """The job is done: keep only what tells a later run so."""
        self.state.result = result
        self.save()
        self.clean_up()

    def clean_up(self) -> None:
        """Remove what only an unfinished job needs, of one that was killed before it could as well."""
        for folder in (*self._own_folders, self.spool_folder):
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def _own_folders(self) -> tuple[Path, ...]:
        return self.index_folder, self.retained, self.tokens_folder, self.decisions, self.shuffle_folder
