"""From a frame to two steps of TRL's trainer: the ids and labels are Forge's, and nothing is prepared again.

    pip install 'forge-gpu[tokens]' torch trl

The model is tiny and knows nothing. Take your own, and its tokenizer, for real work.
"""

from __future__ import annotations

import math
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from datasets import load_dataset
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

import forge_gpu

HERE = Path(__file__).parent
TOKENIZER = HERE / "tokenizer.json"
SETTINGS = ["output.form=tokens", "output.format=parquet", f"tokens.tokenizer={TOKENIZER}"]


def main() -> None:
    frame = pd.read_json(HERE / "chat.jsonl", lines=True)
    plan = forge_gpu.plan("support assistant", data=frame, template="chatml", settings=SETTINGS)
    with TemporaryDirectory() as folder:
        result = forge_gpu.prepare(plan.config, data=frame, output=f"{folder}/prepared")
        files = [str(path) for path in result.splits["train"].paths]
        train = load_dataset("parquet", data_files=files, split="train", cache_dir=f"{folder}/cache")
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(TOKENIZER), eos_token="<|im_end|>", pad_token="<|im_end|>"
        )
        trainer = SFTTrainer(
            tiny_model(len(tokenizer)),
            args=arguments(folder),
            train_dataset=train,
            processing_class=tokenizer,
        )
        loss = trainer.train().training_loss
    assert math.isfinite(loss)
    print(f"{len(train)} rows, {trainer.state.global_step} steps, loss {loss:.3f}")


def tiny_model(vocabulary: int) -> LlamaForCausalLM:
    shape = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    return LlamaForCausalLM(shape)


def arguments(folder: str) -> SFTConfig:
    """As `forge prepare` prints them, for two steps on a CPU."""
    return SFTConfig(
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


if __name__ == "__main__":
    main()
