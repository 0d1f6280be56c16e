"""Whether this checkout writes the bytes that another commit writes.

For each input and each variant the other commit makes the plan, and both prepare it. Compared are all output
files, byte by byte; the manifest but for its section `run` and the version; and the columns of the ledger
that the other commit has. What only this checkout has (new columns and keys) is listed: no difference.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import typer

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "benchmarks" / "templates" / "llama3.jinja"

SETTINGS = ("model.special_tokens.bos_token=<|begin_of_text|>",)
"""What the template needs to be told."""

VARIANTS: dict[str, Sequence[str]] = {
    "plain": (),
    "parquet": ("output.format=parquet", "output.rows_per_shard=700", "preprocessing.test_split=0.05"),
    "shuffled": ("output.order=shuffled", "output.format=parquet"),
    "near": ("preprocessing.dedup.near.threshold=0.7", "output.rows_per_shard=300"),
    "grouped": ("preprocessing.dedup.near.action=group", "preprocessing.train_split=0.8"),
    "threshold": ("preprocessing.split.mode=threshold", "preprocessing.dedup.exact=false"),
    "source": ("output.form=source",),
    "messages": ("output.form=messages", "output.format=parquet"),
    "small chunks": ("preprocessing.chunk_size=7", "preprocessing.memory.threads=2"),
}
"""Settings on top of what the plan chooses; a variant that does not fit an input is passed over."""


COMMANDS = """
import contextlib, io, json, os, sys
from forge_gpu.cli.app import main
answers = os.fdopen(os.dup(1), "w")
for line in sys.stdin:
    sys.argv = ["forge", *json.loads(line)]
    code, errors = 0, io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as exit:
            code = exit.code or 0
    print(json.dumps([code, errors.getvalue()]), file=answers, flush=True)
"""
"""What a checkout's process runs: commands, one a line, so that it starts once for all of them."""


@dataclass(frozen=True)
class Ended:
    """What a command ended with."""

    code: int
    errors: str

    @property
    def last_line(self) -> str:
        lines = self.errors.strip().splitlines()
        return lines[-1] if lines else f"exit code {self.code}"


class Checkout:
    """A tree of the project, and a process that runs its commands in the tree's own root.

    python: another one than this, with its variables."""

    def __init__(self, root: Path, python: str = sys.executable, **variables: str) -> None:
        environment = os.environ | {"PYTHONPATH": str(root)} | variables
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [python, "-c", COMMANDS], cwd=root, env=environment, stdin=pipe, stdout=pipe, text=True
        )

    def forge(self, *arguments: str | Path) -> Ended:
        commands, answers = self._process.stdin, self._process.stdout
        assert commands is not None and answers is not None
        print(orjson.dumps([*map(str, arguments)]).decode(), file=commands, flush=True)
        return Ended(*orjson.loads(answers.readline()))

    def close(self) -> None:
        self._process.communicate()


def outputs(folder: Path) -> dict[str, bytes]:
    """The files of an output folder but for the manifest, the ledger, and the report, of which no byte is
    promised."""
    apart = {"manifest.json", "ledger.parquet", "report.html"}
    return {
        path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name not in apart
    }


def manifest(folder: Path) -> dict[str, Any]:
    """The manifest without what a run or a version differs in."""
    content: dict[str, Any] = orjson.loads((folder / "manifest.json").read_bytes())
    del content["run"], content["forge"]
    return content


def differences(before: Path, after: Path) -> Iterator[str]:
    """What is not the same in two output folders, a line each."""
    old, new = outputs(before), outputs(after)
    for name in sorted(old.keys() | new.keys()):
        if name not in old or name not in new:
            yield f"{name}: only {'after' if name in new else 'before'}"
        elif old[name] != new[name]:
            yield f"{name}: other bytes"
    yield from _in_sections(manifest(before), manifest(after), "manifest")
    ledgers = pq.read_table(before / "ledger.parquet"), pq.read_table(after / "ledger.parquet")
    for column in ledgers[0].column_names:
        if column not in ledgers[1].column_names or not _same_values(*(table[column] for table in ledgers)):
            yield f"ledger.parquet: column {column}"


def _same_values(old: pa.ChunkedArray, new: pa.ChunkedArray) -> bool:
    """Whether two columns say the same; a dictionary of one may have values that no row has."""
    plain = [
        each.cast(each.type.value_type) if pa.types.is_dictionary(each.type) else each for each in (old, new)
    ]
    same: bool = plain[0].equals(plain[1])
    return same


def _in_sections(old: dict[str, Any], new: dict[str, Any], place: str) -> Iterator[str]:
    for key, value in old.items():
        if key not in new:
            yield f"{place}.{key}: gone"
        elif isinstance(value, dict) and isinstance(new[key], dict):
            yield from _in_sections(value, new[key], f"{place}.{key}")
        elif new[key] != value:
            yield f"{place}.{key}: {str(new[key])[:80]} instead of {str(value)[:80]}"


def additions(before: Path, after: Path) -> list[str]:
    """Columns of the ledger and keys of the manifest that only the second folder has."""
    columns = [pq.read_schema(folder / "ledger.parquet").names for folder in (before, after)]
    keys = [set(_keys(manifest(folder), "")) for folder in (before, after)]
    return [name for name in columns[1] if name not in columns[0]] + sorted(keys[1] - keys[0])


def _keys(section: dict[str, Any], place: str) -> Iterator[str]:
    for key, value in section.items():
        yield f"{place}{key}"
        if isinstance(value, dict):
            yield from _keys(value, f"{place}{key}.")


def compare(
    before: Checkout,
    after: Checkout,
    path: Path,
    variant: Sequence[str],
    folder: Path,
    template: Path = TEMPLATE,
) -> tuple[str, list[str], list[str]]:
    """(same | other | passed over: why, the differences, the additions) of one input in one variant."""
    settings = [word for setting in (*SETTINGS, *variant) for word in ("--set", setting)]
    plan = folder / "forge.yaml"
    planned = before.forge(
        "plan", "comparison", "--data", path, "--template", template, "--output", plan, *settings
    )
    if planned.code:
        return f"passed over: {planned.last_line}", [], []
    done = [
        checkout.forge("prepare", "--config", plan, "--output", folder / which, "--quiet")
        for checkout, which in ((before, "before"), (after, "after"))
    ]
    if done[0].code or done[1].code:
        ends = [(run.code, run.last_line) for run in done]
        return (
            ("same refusal", [], [])
            if ends[0] == ends[1]
            else ("other", [f"{ends[0]} and then {ends[1]}"], [])
        )
    made = folder / "before", folder / "after"
    result = list(differences(*made))
    return "other" if result else "same", result, additions(*made)


def main(
    commit: Annotated[str, typer.Argument(help="The commit whose bytes are right.")],
    inputs: Annotated[
        list[Path], typer.Argument(help="Files, and folders whose files are taken one by one.")
    ],
) -> None:
    """Compare what this checkout prepares with what COMMIT prepares; exit 1 for any difference."""
    files = [
        file.absolute()
        for path in inputs
        for file in (sorted(path.rglob("*.json*")) if path.is_dir() else [path])
    ]
    failed = False
    counts: dict[str, int] = {}
    seen: set[str] = set()
    with TemporaryDirectory(prefix="forge-same-bytes-") as work:
        tree = Path(work) / "before"
        subprocess.run(
            ["git", "worktree", "add", "--detach", "--quiet", str(tree), commit], cwd=ROOT, check=True
        )
        before, after = Checkout(tree), Checkout(ROOT)
        try:
            for file in files:
                for name, variant in VARIANTS.items():
                    folder = Path(work) / "case"
                    shutil.rmtree(folder, ignore_errors=True)
                    folder.mkdir()
                    outcome, result, added = compare(before, after, file, variant, folder)
                    kind = outcome.partition(":")[0]
                    counts[kind] = counts.get(kind, 0) + 1
                    seen |= set(added)
                    failed |= kind == "other"
                    print(f"{file.name}, {name}: {outcome}", *result, sep="\n    ", flush=True)
                    if name == "plain" and kind == "passed over":
                        break
        finally:
            before.close()
            after.close()
            subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True)
    print(", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())))
    print("only after:", ", ".join(sorted(seen)) or "nothing")
    raise typer.Exit(1 if failed else 0)


if __name__ == "__main__":
    typer.run(main)
