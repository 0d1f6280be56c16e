"""Loads rows of tokens with TRL's own trainer, trains two steps, and prints what it saw as JSON.

python load_trl.py FOLDER FILE...
"""

from __future__ import annotations

import json
import sys

from datasets import load_dataset
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

VOCABULARY = 2048


def main(folder: str, tokenizer_file: str, *files: str) -> None:
    kind = "parquet" if files[0].endswith(".parquet") else "json"
    rows = load_dataset(kind, data_files=list(files), split="train", cache_dir=f"{folder}/cache")
    shape = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    args = SFTConfig(
        output_dir=f"{folder}/model",
        packing=False,
        padding_free=True,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_steps=2,
        per_device_train_batch_size=4,
        use_cpu=True,
        bf16=False,
        save_strategy="no",
        report_to=[],
    )
    special = {"eos_token": "<|im_end|>", "pad_token": "<|im_end|>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=tokenizer_file, **special)
    trainer = SFTTrainer(LlamaForCausalLM(shape), args, train_dataset=rows, processing_class=tokenizer)
    batch = trainer.data_collator([rows[number] for number in range(len(rows))])
    done = trainer.train()
    seen = {name: batch[name].flatten().tolist() for name in ("input_ids", "labels", "position_ids")}
    print(json.dumps({**seen, "loss": done.training_loss, "steps": done.global_step}))


if __name__ == "__main__":
    main(*sys.argv[1:])
