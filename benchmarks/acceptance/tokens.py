"""Whether ids are those of the library `tokenizers` over many texts, and whether TRL trains on what is made.

    python -m benchmarks.acceptance.tokens TEXTS                              # for each kind of tokenizer
    python -m benchmarks.acceptance.tokens trl PYTHON FOLDER TOKENIZER.JSON   # PYTHON has trl

TRL brings torch with CUDA, six gigabytes: so it has an environment of its own, and is no part of `make test`.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from forge_gpu.kernels.token_layout import GUARDED
from forge_gpu.tokens.definition import Definition
from forge_gpu.tokens.encoders import HuggingFace
from forge_gpu.tokens.settings import Guard
from forge_gpu.tokens.tokenizer import Tokenizer, TokenizerPlan
from tests.tokens import rows as made_rows
from tests.tokens.made import MAKERS, document

AT_ONCE = 5_000
TRAIN = """
import math, sys
import numpy as np
from datasets import load_dataset
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

path, tokenizer, work = sys.argv[1:]
kind = "parquet" if path.endswith("parquet") else "json"
rows = load_dataset(kind, data_files=[path], split="train", cache_dir=work + "/cache")
token = PreTrainedTokenizerFast(tokenizer_file=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
shape = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
model = LlamaForCausalLM(LlamaConfig(vocab_size=len(token) + 8, num_key_value_heads=2, **shape))
args = SFTConfig(
    output_dir=work, per_device_train_batch_size=2, max_steps=2, report_to=[], use_cpu=True, bf16=False,
    gradient_checkpointing=False, logging_steps=1,
    packing=False, padding_free=True, max_length=None, dataset_kwargs={"skip_prepare_dataset": True},
)
trainer = SFTTrainer(model=model, args=args, train_dataset=rows, processing_class=token)
batch = trainer.data_collator([trainer.train_dataset[0], trainer.train_dataset[1]])
for name in ("input_ids", "labels"):
    stored = np.concatenate([rows[0][name], rows[1][name]])
    other = np.flatnonzero(stored != batch[name][0].numpy())
    assert set(other.tolist()) <= ({0, len(rows[0][name])} if name == "labels" else set()), name
trainer.train()
losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
assert len(losses) == 2 and all(math.isfinite(float(loss)) for loss in losses), losses
print("trl: labels as stored, losses", losses)
"""


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["trl"]:
        python, folder, tokenizer = arguments[1:]
        path = next(Path(folder).glob("train.*"))
        work = Path(folder) / "trl"
        subprocess.run([python, "-c", TRAIN, str(path), tokenizer, str(work)], check=True)
        return
    for name in MAKERS:
        compare(name, int(arguments[0]))


def compare(name: str, texts: int) -> None:
    """Encode so many random rows; stop at the first that differs, or that has a token which it forged."""
    definition = Definition.of(document(name), Path(name))
    plan = TokenizerPlan.of(definition, Guard())
    tokenizer, library = Tokenizer(plan), HuggingFace(definition.text)
    guarded = set(plan.added.id[plan.added.flags & GUARDED != 0].tolist()) - {definition.unknown}
    chance, began, forged = random.Random(name), time.monotonic(), 0
    for done in range(0, texts, AT_ONCE):
        rows = [
            made_rows.row(chance, definition, number % 2 == 0) for number in range(min(AT_ONCE, texts - done))
        ]
        laid, literals = made_rows.laid_out(rows)
        tokens = tokenizer.encode(laid, literals, literals)
        expected = library.ids([laid.row(row).decode() for row in range(len(rows))])
        for row, right in enumerate(expected):
            ids = tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]].tolist()
            if tokens.guarded[row]:
                written = "".join(text for literal, text in rows[row] if literal)
                most = sum(written.count(token.content) for token in definition.added if token.id in guarded)
                if sum(number in guarded for number in ids) > most:
                    sys.exit(f"{name}: a forged token in {rows[row]}")
            elif ids != right:
                sys.exit(f"{name}: {ids} instead of {right} of {rows[row]}")
        forged += int(np.count_nonzero(tokens.guarded))
    seconds = time.monotonic() - began
    print(f"{name}: {texts:,} rows, {forged:,} of them forging, 0 differ, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
