"""Make tokenizers in other files than tokenizer.json, and hold what they are converted to against the
libraries that these are of. Prints how many texts of each were equal."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from pathlib import Path

import sentencepiece
import tiktoken
from tiktoken._educational import bpe_train

from forge_gpu.tokens.encoders import HuggingFace
from forge_gpu.tokens.folder import read_tokenizer
from tests.tokens.made import LLAMA3, texts

WORDS = 400
CONTROL = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"]
TEXTS = [*texts(100, seed=1), "naïve 你好 🙂", "two  blanks ", "x" * 40, "don't 1234567"]


def main(folder: Path) -> None:
    ranks = bpe_train(" ".join(texts(40)), WORDS, LLAMA3, visualise=None)
    own = tiktoken.Encoding("made", pat_str=LLAMA3, mergeable_ranks=ranks, special_tokens={})
    equal = {
        "tokenizer.model": compare(sentence_piece(folder / "sentencepiece"), TEXTS),
        "tiktoken.model": compare(of_ranks(folder / "ranks", "tiktoken.model", ranks), TEXTS, own.encode),
        "ranks in tokenizer.model": compare(
            of_ranks(folder / "meta", "tokenizer.model", ranks), TEXTS, own.encode
        ),
        "tekken.json": compare(
            tekken(folder / "tekken", ranks),
            TEXTS,
            lambda text: [number + len(CONTROL) for number in own.encode(text)],
        ),
    }
    print(json.dumps(equal))


def compare(folder: Path, given: list[str], own: Callable[[str], list[int]] | None = None) -> int:
    """own: makes the ids; None: the SentencePiece model of the folder."""
    definition = read_tokenizer(folder)
    if own is None:
        own = sentencepiece.SentencePieceProcessor(str(folder / "tokenizer.model")).encode
    assert "<|im_end|>" in [token.content for token in definition.added] or folder.name != "ranks"
    library = HuggingFace(definition.text)
    return sum(library.ids([text])[0] == own(text) for text in given)


def sentence_piece(folder: Path) -> Path:
    folder.mkdir()
    (folder / "texts").write_text("\n".join(text.replace("\n", " ") for text in texts(300)))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "texts"), model_prefix=str(folder / "tokenizer"), vocab_size=WORDS + 100,
        model_type="bpe", byte_fallback=True, normalization_rule_name="identity",
        remove_extra_whitespaces=False, minloglevel=2,
    )  # fmt: skip
    config = {"tokenizer_class": "LlamaTokenizer", "legacy": True, "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def of_ranks(folder: Path, name: str, ranks: dict[bytes, int]) -> Path:
    folder.mkdir()
    lines = [f"{base64.b64encode(word).decode()} {rank}\n" for word, rank in ranks.items()]
    (folder / name).write_text("".join(lines))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "added_tokens_decoder": {str(WORDS): {"content": "<|im_end|>", "special": True}},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def tekken(folder: Path, ranks: dict[bytes, int]) -> Path:
    folder.mkdir()
    words = [
        {"rank": rank, "token_bytes": base64.b64encode(word).decode(), "token_str": None}
        for word, rank in ranks.items()
    ]
    special = [{"rank": rank, "token_str": text, "is_control": True} for rank, text in enumerate(CONTROL)]
    config = {
        "pattern": LLAMA3,
        "num_vocab_tokens": len(words),
        "default_vocab_size": len(words) + len(special),
        "default_num_special_tokens": len(special),
        "version": "v3",
    }
    (folder / "tekken.json").write_text(
        json.dumps({"config": config, "vocab": words, "special_tokens": special})
    )
    return folder


if __name__ == "__main__":
    main(Path(sys.argv[1]))
