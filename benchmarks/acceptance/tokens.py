"""Whether ids are those of the library `tokenizers` over many texts, and whether TRL trains on what is made.

    python -m benchmarks.acceptance.tokens TEXTS PROCESSES [TOKENIZER...]
    python -m benchmarks.acceptance.tokens cases CASES.json FOLDER            # of tokenizers, each NAME.json
    python -m benchmarks.acceptance.tokens trl PYTHON FOLDER TOKENIZER.JSON   # PYTHON has trl

TOKENIZER: a kind of the tests, or the path of a tokenizer; all kinds of the tests where none is named. Texts
are made and compared in shares of 5,000 that know nothing of each other, so that few are a part of many.

TRL brings torch with CUDA, six gigabytes: so it has an environment of its own, and is no part of `make test`.
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from forge_gpu.kernels.token_layout import GUARDED
from forge_gpu.tokens.definition import Definition
from forge_gpu.tokens.encoders import HuggingFace
from forge_gpu.tokens.folder import read_tokenizer
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
    if arguments[:1] == ["cases"]:
        sys.exit(cases(*map(Path, arguments[1:])))
    texts, processes, *names = arguments
    with ProcessPoolExecutor(int(processes), get_context("spawn")) as pool:
        for name in names or MAKERS:
            compare(name, int(texts), pool)


def cases(file: Path, tokenizers: Path) -> int:
    """Compare with texts whose right ids are noted; how many differ."""
    differing = 0
    noted = json.loads(file.read_text())
    for case in noted:
        _, tokenizer, _, _ = loaded(str(tokenizers / f"{case['tokenizer']}.json"))
        laid, literals = made_rows.laid_out([[(bool(literal), text) for literal, text in case["parts"]]])
        tokens = tokenizer.encode(laid, literals, literals)
        if tokens.ids.tolist() != case["ids"] or tokens.guarded.tolist() != [case["forged"]]:
            differing += 1
            print(
                f"{case['tokenizer']}, {case['why']}: {tokens.ids.tolist()}, not {case['ids']}",
                file=sys.stderr,
            )
    print(f"{len(noted)} cases, {differing} differ")
    return differing


def compare(name: str, texts: int, pool: Executor) -> None:
    """Encode so many random rows; stop at the first that differs, or that has a token which it forged."""
    began = time.monotonic()
    shares = [
        (name, number, min(AT_ONCE, texts - begin)) for number, begin in enumerate(range(0, texts, AT_ONCE))
    ]
    made = list(pool.map(compare_share, *zip(*shares, strict=True)))
    differing = next((said for _, said, _ in made if said), None)
    if differing is not None:
        sys.exit(f"{name}: {differing}")
    digest = hashlib.sha256(b"".join(own for _, _, own in made)).hexdigest()[:16]
    print(
        f"{name}: {texts:,} rows, {sum(forged for forged, _, _ in made):,} of them forging, 0 differ, "
        f"ids {digest}, {time.monotonic() - began:.0f} s",
        flush=True,
    )


def compare_share(name: str, number: int, rows_of_share: int) -> tuple[int, str, bytes]:
    """(how many rows forge tokens, the first difference or "", a digest of the ids) of one share of the rows,
    which depends on the tokenizer's name and the share's number alone."""
    definition, tokenizer, library, guarded = loaded(name)
    chance = random.Random(f"{Path(name).stem} {number}")
    rows = [made_rows.row(chance, definition, row % 2 == 0) for row in range(rows_of_share)]
    laid, literals = made_rows.laid_out(rows)
    tokens = tokenizer.encode(laid, literals, literals)
    expected = library.ids([laid.row(row).decode() for row in range(len(rows))])
    for row, right in enumerate(expected):
        ids = tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]].tolist()
        if not tokens.guarded[row]:
            if ids != right:
                return 0, f"{ids} instead of {right} of {rows[row]}", b""
            continue
        written = "".join(text for literal, text in rows[row] if literal)
        most = sum(written.count(token.content) for token in definition.added if token.id in guarded)
        if sum(number in guarded for number in ids) > most:
            return 0, f"a forged token in {rows[row]}", b""
    return int(np.count_nonzero(tokens.guarded)), "", hashlib.sha256(tokens.ids.tobytes()).digest()


@lru_cache(1)
def loaded(name: str) -> tuple[Definition, Tokenizer, HuggingFace, frozenset[int]]:
    """name: one of MAKERS, or the path of a tokenizer."""
    made = Definition.of(document(name), Path(name)) if name in MAKERS else read_tokenizer(Path(name))
    plan = TokenizerPlan.of(made, Guard())
    guarded = set(plan.added.id[plan.added.flags & GUARDED != 0].tolist()) - {made.unknown}
    return made, Tokenizer(plan), HuggingFace(made.text), frozenset(guarded)


if __name__ == "__main__":
    main(sys.argv[1:])
