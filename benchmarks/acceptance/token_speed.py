"""What a job that makes ids costs, beside the same job for text, the library alone, datasets.map, and TRL.

    python -m benchmarks.acceptance.token_speed CHATS.jsonl TOKENIZER.json [ROUNDS] [PYTHON]

CHATS has `messages`; the template is Llama 3's. CPU seconds of one process, each kind of job once before, so
that kernels are compiled and the tokenizer is loaded; rounds are interleaved, and the median counts. PYTHON:
of an environment with trl, as `make trainers` makes one, whose own preparation of the same rows is measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from forge_gpu.config.schema import Config
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.hardware.budget import Budget
from forge_gpu.job.prepare import prepare
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.kernels.layout import PADDING
from forge_gpu.tokens.encoders import Gigatoken
from forge_gpu.tokens.folder import read_tokenizer

TEMPLATE = Path(__file__).parents[1] / "templates/llama3_short.jinja"
BUDGET = Budget(2**29, 1, 4 * 2**20, "benchmark")
MOST_JOB, MOST_LIBRARY = 1.6, 1.1
"""A tokens job may cost so much of the text job, and of the library."""
PEER_PROCESSES = 2


TRL = """
import json, os, sys
from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

chats, tokenizer, template, folder, processes = sys.argv[1:]
model = PreTrainedTokenizerFast(
    tokenizer_file=tokenizer, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>", pad_token="<|eot_id|>"
)
model.chat_template = open(template).read()
rows = Dataset.from_list([{"messages": json.loads(line)["messages"]} for line in open(chats)])
shape = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
small = LlamaForCausalLM(LlamaConfig(vocab_size=len(model), num_key_value_heads=1, **shape))
args = SFTConfig(
    output_dir=folder, report_to=[], use_cpu=True, bf16=False, max_length=None,
    dataset_num_proc=int(processes), disable_tqdm=True,
)
def clocks():
    times = os.times()
    return times.elapsed, sum(times[:4])
began = clocks()
SFTTrainer(model=small, args=args, train_dataset=rows, processing_class=model)
print(*(after - before for before, after in zip(began, clocks())))
"""


def main(chats: Path, tokenizer: Path, rounds: int = 5, python: Path | None = None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        outputs = {form: Path(folder) / form for form in ("text", "tokens")}
        tasks: dict[str, Callable[[], None]] = {
            form: job(chats, tokenizer, form, output) for form, output in outputs.items()
        }
        for task in tasks.values():
            task()
        tasks["library"] = library(tokenizer, outputs["text"])
        seconds: dict[str, list[float]] = {name: [] for name in tasks}
        for number in range(rounds + 1):
            for name, task in tasks.items():
                began = time.process_time()
                task()
                if number:
                    seconds[name].append(time.process_time() - began)
    middle = {name: median(each) for name, each in seconds.items()}
    bound = MOST_JOB * middle["text"] + MOST_LIBRARY * middle["library"]
    for name, each in seconds.items():
        print(f"{name}: {middle[name]:.2f} s of CPU ({min(each):.2f} to {max(each):.2f})")
    print(f"tokens: {middle['tokens'] / bound:.2f} of {bound:.2f} s, the bound")
    tell("datasets.map", *peer(chats, tokenizer))
    if python is not None:
        tell("TRL's preparation", *trl(python, chats, tokenizer))


def tell(name: str, elapsed: float, processor: float) -> None:
    print(f"{name}: {processor:.1f} s of CPU, {elapsed:.1f} s by the clock, {PEER_PROCESSES} processes")


def clocks() -> tuple[float, float]:
    """(seconds by the clock, of CPU with those of processes that have ended)"""
    times = os.times()
    return times.elapsed, sum(times[:4])


def job(chats: Path, tokenizer: Path, form: str, output: Path) -> Callable[[], None]:
    config = Config.model_validate(
        {
            "data": {
                "inputs": [str(chats)],
                "mapping": {"shape": "conversation", "messages": "messages"},
            },
            "model": {
                "chat_template": TEMPLATE.read_text(),
                "template_kind": "jinja",
                "special_tokens": {"bos_token": "<|begin_of_text|>"},
            },
            "preprocessing": {"quality_checks": {"control_tokens": "off"}},
            "tokens": {"tokenizer": str(tokenizer)},
            "output": {"form": form, "format": "parquet", "report": False},
        }
    )

    def run() -> None:
        spec = JobSpec(config, output.parent, output, fresh=True)
        prepare(spec, BUDGET, CpuEngine, lambda event: None, lambda: None)

    return run


def library(tokenizer: Path, output: Path) -> Callable[[], None]:
    """Encode the same texts, in one call for each four megabytes, as plain text: nothing else is done."""
    texts = [
        text.encode()
        for path in (output / "train.parquet", output / "validation.parquet")
        for text in pq.read_table(path)["text"].to_pylist()
    ]
    ends = np.cumsum([len(text) for text in texts])
    data = np.frombuffer(b"".join(texts) + bytes(PADDING), np.uint8)
    starts = np.concatenate(([0], ends[:-1]))
    cuts = np.unique(np.append(np.searchsorted(ends, np.arange(0, ends[-1], BUDGET.chunk_bytes)), len(ends)))
    encoder = Gigatoken(partial(read_tokenizer(tokenizer).plain, True))

    def run() -> None:
        for begin, end in pairwise(cuts):
            encoder.encode(data, starts[begin:end], ends[begin:end])

    return run


def peer(chats: Path, tokenizer: Path) -> tuple[float, ...]:
    """Seconds by the clock, and of CPU, of the usual way: chat template, tokenizer, a file. Raises
    ImportError without datasets."""
    from datasets import Dataset, disable_progress_bars
    from transformers import PreTrainedTokenizerFast

    disable_progress_bars()
    model = PreTrainedTokenizerFast(tokenizer_file=str(tokenizer), bos_token="<|begin_of_text|>")
    model.chat_template = TEMPLATE.read_text()

    def encode(batch: dict[str, Any]) -> dict[str, Any]:
        texts = model.apply_chat_template(batch["messages"], tokenize=False)
        return {**model(texts, add_special_tokens=False)}

    rows = [{"messages": json.loads(line)["messages"]} for line in chats.open()]
    with tempfile.TemporaryDirectory() as folder:
        began = clocks()
        made = Dataset.from_list(rows).map(
            encode, batched=True, num_proc=PEER_PROCESSES, remove_columns=["messages"]
        )
        made.to_parquet(f"{folder}/rows.parquet")
        return tuple(after - before for before, after in zip(began, clocks(), strict=True))


def trl(python: Path, chats: Path, tokenizer: Path) -> tuple[float, ...]:
    """Seconds by the clock, and of CPU, in which TRL's trainer makes ids of the rows, without masks."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(python), "-c", TRL, *map(str, (chats, tokenizer, TEMPLATE, folder, PEER_PROCESSES))]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return tuple(map(float, done.stdout.split()[-2:]))


if __name__ == "__main__":
    given, rounds, python = sys.argv[1:3], sys.argv[3:4] or ["5"], sys.argv[4:5]
    main(Path(given[0]), Path(given[1]), int(rounds[0]), Path(python[0]) if python else None)
