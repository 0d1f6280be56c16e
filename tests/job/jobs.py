"""Small jobs for the tests of the job: made data, a plan for it, a run, and its output as bytes."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

from forge_gpu.config.schema import Config
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.errors import Interrupted
from forge_gpu.hardware.budget import Budget
from forge_gpu.job.events.events import ChunkDone, Event
from forge_gpu.job.output.result import PAGE, Result
from forge_gpu.job.prepare import prepare
from forge_gpu.job.state.spec import JobSpec

WORDS = ["hi", "ça va", "你好", "\\\\"]
CHATML = "<|im_start|>user\n{query}<|im_end|>\n<|im_start|>assistant\n{response}<|im_end|>"


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Alpaca-like rows: one in ten repeats an earlier one, some have escapes, some Unicode."""
    chance = random.Random(seed)
    made: list[dict[str, Any]] = []
    for number in range(count):
        if made and chance.random() < 0.1:
            made.append(dict(chance.choice(made)))
            continue
        made.append(
            {
                "instruction": f'Task {number}: say "{chance.choice(WORDS)}"\n',
                "input": chance.choice(["", "a\tb", "\u2028 {braces} </s>"]),
                "output": "word " * chance.randint(1, 40) + str(number),
                "category": chance.choice("abcd"),
                "score": chance.choice([1, 2.5, None, 10**20]),
            }
        )
    return made


def write_lines(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text(
        "".join(json.dumps(record, ensure_ascii=len(record) % 2 == 0) + "\n" for record in records)
    )
    return path


def stop_after(chunks: int) -> dict[str, Any]:
    """Arguments of `run` that interrupt it after so many chunks."""
    left = chunks

    def listen(event: Event) -> None:
        nonlocal left
        left -= isinstance(event, ChunkDone)

    def check() -> None:
        if left <= 0:
            raise Interrupted(2)

    return {"listener": listen, "check_stop": check}


def plan(*inputs: Path | str, **sections: Any) -> Config:
    """The plan of the tests: alpaca columns, chatml, a tenth for validation, input that is
    streamed however small; sections replace settings."""
    settings: dict[str, Any] = {
        "data": {
            "inputs": [str(path) for path in inputs],
            "mapping": {"shape": "flat", "query": "instruction", "input": "input", "response": "output"},
        },
        "model": {"chat_template": "chatml", "template_kind": "builtin"},
        "preprocessing": {"streaming_threshold_gb": 0},
        "output": {},
    }
    for name, values in sections.items():
        settings[name] = settings.get(name, {}) | values
    return Config.model_validate(settings)


def run(
    config: Config,
    output: Path,
    threads: int = 1,
    chunk_bytes: int = 4096,
    range_bytes: int = 8192,
    **options: Any,
) -> Result:
    listener = options.pop("listener", lambda event: None)
    check_stop = options.pop("check_stop", lambda: None)
    budget = Budget(options.pop("memory", 2**24), threads, chunk_bytes, "a test")
    spec = JobSpec(config, output.parent, output, range_bytes=range_bytes, **options)
    return prepare(spec, budget, CpuEngine, listener, check_stop)


def content(output: Path) -> dict[str, str]:
    """The digest of every file of an output, without the section `run` of its manifest."""
    digests: dict[str, str] = {}
    for path in sorted(output.iterdir()):
        if path.name == PAGE:  # tells of the run: times, memory
            continue
        if path.is_dir() and path.name.startswith("."):
            continue
        if path.is_dir():  # of a split
            digests |= {f"{path.name}/{name}": digest for name, digest in content(path).items()}
            continue
        data = path.read_bytes()
        if path.name == "manifest.json":
            manifest = json.loads(data)
            del manifest["run"]
            data = json.dumps(manifest, sort_keys=True).encode()
        digests[path.name] = hashlib.sha256(data).hexdigest()
    return digests


def paths(result: Result, split: str = "train") -> list[Path]:
    """The files of a split of an output on this machine."""
    matches = [path for path in result.splits[split].paths if isinstance(path, Path)]
    assert len(matches) == len(result.splits[split].paths)
    return matches


def lines(path: Path) -> list[str]:
    """Lines end at newlines alone: texts may hold what Python takes for a line's end."""
    return path.read_text().split("\n")[:-1]


def read_lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in lines(path)]
