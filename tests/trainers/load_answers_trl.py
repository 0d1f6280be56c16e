"""Loads tokens of answers that stand apart with TRL's own trainer, trains two steps, and prints what it
saw as JSON.

python load_answers_trl.py FOLDER TOKENIZER LINES FILE

LINES: a file of what Forge prints for the configuration of the trainer; it names DPOTrainer or KTOTrainer.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

torch.set_num_threads(1)


def main(folder: str, tokenizer_file: str, lines: str) -> None:
    settings = {
        "output_dir": f"{folder}/model",
        "max_steps": 2,
        "per_device_train_batch_size": 4,
        "use_cpu": True,
        "bf16": False,
        "save_strategy": "no",
        "report_to": [],
    }
    pasted: dict[str, Any] = {"settings": settings}
    text = Path(lines).read_text(encoding="utf-8").replace("Config(", "Config(**settings, ")
    exec(text, pasted)  # noqa: S102 (it is what a person pastes)
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    models = [LlamaForCausalLM(LlamaConfig(vocab_size=2048, **shape)) for _ in range(2)]
    special = {"eos_token": "<|im_end|>", "pad_token": "<|im_end|>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=tokenizer_file, **special)
    trainer = pasted["Prepared"](
        models[0],
        ref_model=models[1],
        args=pasted["args"],
        train_dataset=pasted["train_dataset"],
        processing_class=tokenizer,
    )
    kept = trainer.train_dataset
    batch = trainer.data_collator([kept[number] for number in range(len(kept))])
    trained = batch["completion_mask"].bool()
    seen = {
        "all": [
            ids[mask.bool()].tolist()
            for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
        ],
        "trained": [ids[mask].tolist() for ids, mask in zip(batch["input_ids"], trained, strict=True)],
    }
    done = trainer.train()
    print(json.dumps({**seen, "loss": done.training_loss, "steps": done.global_step}))


if __name__ == "__main__":
    main(*sys.argv[1:])
