"""Conventions of media, hostile files and the multimodal files of a folder: what Forge makes of them.

    python -m benchmarks.acceptance.media conventions [MODE…]
    python -m benchmarks.acceptance.media files FOLDER
    python -m benchmarks.acceptance.media hostile ROWS…

`conventions` prepares each by each mode of `output.media` and loads what was written: with `datasets`, whose
Image() or Audio() gives the bytes, and, of rows with marks and a column, as LLaMA-Factory and TRL look media
up: as many marks, or parts, as the column has files.
"""

from __future__ import annotations

import base64
import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import forge_gpu
from forge_gpu.errors import ForgeError
from forge_gpu.media.marks import kinds
from tests.media.files import BAD, image, put
from tests.media.test_media_conventions import EVERY, ROWS, kind_of, references, written

MODES = ("keep", "link", "copy", "embed")
SPLITS = ["preprocessing.train_split=1", "preprocessing.validation_split=0"]


def prepared(data: Path, output: Path, *settings: str) -> Any:
    plan = forge_gpu.plan(data=data, settings=[*SPLITS, *settings], force=True)
    return forge_gpu.prepare(plan.config, output=output)


def content(output: Path, reference: str) -> bytes:
    """What a reference of a written row is: a file seen from the output, a data URL, or base64 alone."""
    if reference.startswith("data:"):
        return base64.b64decode(reference.partition(",")[2])
    place = output / reference.removeprefix("file://")
    try:
        return place.read_bytes()
    except OSError:
        return base64.b64decode(reference)


def by_datasets(output: Path, column: str, feature: Any) -> list[bytes]:
    """The bytes that a feature gives of a column of paths."""
    from datasets import List, disable_progress_bars, load_dataset

    disable_progress_bars()
    rows = load_dataset(
        "json", data_files=str(output / "train.jsonl"), split="train", cache_dir=str(output / "c")
    )
    is_list = isinstance(rows[0][column], list)
    paths = [[str(output / path) for path in (row if is_list else [row])] for row in rows[column]]
    cast = rows.remove_columns([column]).add_column(column, paths).cast_column(column, List(feature))
    return [each["bytes"] or Path(each["path"]).read_bytes() for row in cast[column] for each in row]


def of_column(output: Path, rows: list[dict[str, Any]], expected: set[bytes]) -> Iterator[str]:
    """How rows with a column of paths load."""
    from datasets import Audio, Image

    features = {"images": Image(decode=False), "image": Image(decode=False), "audios": Audio(decode=False)}
    for column, feature in features.items():
        values = [row.get(column) for row in rows]
        paths = [each for value in values for each in (value if isinstance(value, list) else [value])]
        if not all(isinstance(path, str) and (output / path).is_file() for path in paths):
            continue
        yield f"datasets {set(by_datasets(output, column, feature)) == expected}"
        marks = kinds().get(column)
        if marks is not None and "messages" in rows[0]:
            numbers = [(marks.named_in(row["messages"]), len(row[column])) for row in rows]
            yield f"marks {all(named == held for named, held in numbers)}"


def conventions(modes: list[str]) -> int:
    bad = 0
    for name in EVERY:
        for mode in modes:
            with TemporaryDirectory() as folder:
                output = Path(folder, "out")
                data = written(Path(folder, "data"), name)
                result = prepared(data, output, "output.form=source", f"output.media={mode}")
                rows = [json.loads(line) for line in (output / "train.jsonl").open()]
                expected = {kind_of(name)(number) for number in range(ROWS)}
                got = {content(output, each) for row in rows for each in references(row)}
                said = [f"bytes {got == expected}"]
                said += [] if mode == "embed" else list(of_column(output, rows, expected))
                bad += any(each.endswith("False") for each in said) or result.counts["train"] != ROWS
                print(f"{name:28} {mode:5} {result.counts['train']} rows, {', '.join(said)}", flush=True)
    print(f"{bad} of {len(EVERY) * len(modes)} are not as they should be")
    return int(bad > 0)


def files(folder: Path) -> int:
    """Each file of a folder that refers to media: they are not there, so it is asked to warn."""
    for path in sorted(each for each in folder.rglob("*.json*") if each.is_file()):
        with TemporaryDirectory() as made:
            try:
                plan = forge_gpu.plan(data=path, settings=SPLITS, force=True)
                media = plan.config.data.media
                if not media.are_there:
                    continue
                result = forge_gpu.prepare(plan.config, output=Path(made, "out"))
                counts = {fate: rows for fate, rows in result.counts.items() if rows}
                said = (
                    f"{media.model_dump(exclude_defaults=True)} {counts} warned {result.manifest['warned']}"
                )
            except ForgeError as fault:
                said = str(fault)[:160] if "media" in str(fault) or "mllm" in path.name else ""
            if said:
                print(f"{path.name}: {said}", flush=True)
    return 0


def hostile(counts: list[int]) -> int:
    """Malformed files and bombs, each in a row of its own: memory of Forge and of its worker."""
    for count in counts:
        with TemporaryDirectory() as folder:
            names = []
            for number in range(count):
                kind = list(BAD)[number % len(BAD)]
                names.append(f"{number}-{kind}")
                put(Path(folder, "data"), names[-1], BAD[kind][0] or b"")
            put(Path(folder, "data"), "good.png", image())
            rows = [{"image": name, "question": f"What is {name}?", "answer": "River"} for name in names]
            rows.append({"image": "good.png", "question": "And this?", "answer": "A river"})
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            began = time.perf_counter()
            data = put(Path(folder, "data"), "f.jsonl", lines.encode())
            result = prepared(data, Path(folder, "out"))
            own, worker = (
                resource.getrusage(who).ru_maxrss >> 10
                for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
            )
            print(
                f"{count} hostile rows: {result.manifest['rejected']}, {result.counts['train']} good, "
                f"{time.perf_counter() - began:.1f} s, peak {own} MiB, of a worker {worker} MiB",
                flush=True,
            )
    return 0


def main(what: str = "", *words: str) -> int:
    if what == "conventions":
        return conventions(list(words) or list(MODES))
    if what == "files" and len(words) == 1:
        return files(Path(words[0]))
    if what == "hostile" and words:
        return hostile([int(word) for word in words])
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
