"""Whether trainers' own loaders give the ids that Forge wrote for them, and say the same of what is trained.

    python -m benchmarks.acceptance.own_loaders [NAME...]

Each loader of `own_loaders.yaml` has a folder of packages, with those of its dependencies that it imports,
beside the environment of `make trainers`, which has PyTorch, transformers and datasets: their pins exclude
each other, and none has to bring CUDA. Each loads its file of examples/chat.jsonl once, which is held against
the lines of JSON of the same plan.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ruamel.yaml import YAML

import forge_gpu
from tests.trainers.environment import PYTHON, ROOT, SCRIPTS

HOME = PYTHON.parents[2] / "loaders"
TOKENIZER = ROOT / "examples" / "tokenizer.json"
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
DIFFER = "ids DIFFER"
Line = tuple[list[int], list[bool]]


def main(names: list[str]) -> int:
    path = Path(__file__).with_suffix(".yaml")
    loaders: dict[str, dict[str, Any]] = YAML(typ="safe", pure=True).load(path.read_text())
    return max([compare(name, loaders[name]) for name in names or loaders])


def compare(name: str, loader: dict[str, Any]) -> int:
    """Print what became of it; 1 where ids differ, or the loader failed."""
    packages, settings = installed(name, loader["packages"]), loader.get("settings", [])
    own = f"output.form={loader['form']}" if "form" in loader else f"output.format={loader['format']}"
    with TemporaryDirectory() as folder:
        template = Path(folder) / "template.jinja"
        template.write_text(TEMPLATE)
        prepared(Path(folder) / "out", template, [*settings, own])
        expected = [
            (row["input_ids"][:stop], [label != -100 for label in row["labels"][:stop]])
            for row in prepared(Path(folder) / "lines", template, settings).splits["train"]
            for stop in [len(row["input_ids"]) - loader.get("stripped", 0)]
        ]
        script = str(SCRIPTS / "load_own.py")
        command = [str(PYTHON), script, name, f"{folder}/out", str(TOKENIZER), str(template)]
        quiet = {"PYTHONPATH": str(packages), "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | quiet, cwd=folder)
        seconds = time.monotonic() - began
    if done.returncode:
        print(f"{loader['packages'][0]}: failed: {done.stderr.strip().splitlines()[-1]}", flush=True)
        return 1
    given = json.loads(done.stdout.strip().splitlines()[-1])
    said, tokens = difference(given, expected), sum(len(ids) for ids, _ in given)
    print(
        f"{loader['packages'][0]}: {len(given)} lines, {tokens:,} tokens: {said}; {seconds:.0f} s", flush=True
    )
    return int(said == DIFFER)


def difference(given: list[Any], expected: list[Line]) -> str:
    """What is equal. given: as load_own.py prints it; a loader that cuts the ids of all lines gives one."""
    if len(given) == 1 < len(expected):
        ids, trained = (list(chain.from_iterable(column)) for column in zip(*expected, strict=True))
        expected = [(ids[: len(given[0][0])], trained[: len(given[0][0])])]
    if [ids for ids, _ in given] != [ids for ids, _ in expected]:
        return DIFFER
    if given[0][1] is None:
        return "equal ids, it knows no labels"
    others = Counter(
        number
        for (ids, mine), (_, theirs) in zip(expected, given, strict=True)
        for number, one, other in zip(ids, mine, theirs, strict=True)
        if one != other
    )
    said = ", ".join(f"{count} of the id {number}" for number, count in others.most_common(3))
    return f"equal ids; labels differ: {said}" if others else "equal ids and labels"


def installed(name: str, packages: list[str]) -> Path:
    """The folder of a loader's packages."""
    folder = HOME / name
    stamp, listed = folder / ".made", "\n".join(packages)
    if not stamp.exists() or stamp.read_text() != listed:
        subprocess.run(
            [
                str(PYTHON),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--quiet",
                "--no-deps",
                "--upgrade",
                "--target",
                str(folder),
                *packages,
            ],
            check=True,
        )
        stamp.write_text(listed)
    return folder


def prepared(output: Path, template: Path, settings: list[str]) -> Any:
    split = ["preprocessing.train_split=1", "preprocessing.validation_split=0"]  # each form draws its own
    every = ["output.form=tokens", f"tokens.tokenizer={TOKENIZER}", *split, *settings]
    plan = forge_gpu.plan("", data=[ROOT / "examples/chat.jsonl"], template=template, settings=every)
    return forge_gpu.prepare(plan.config, output=output)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
