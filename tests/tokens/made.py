"""Small tokenizers of each kind that models have, trained here: published ones are large, and cannot be had.

Each has the pre-tokenizer, the normalizer, the added tokens with their flags and the post-processor of the
model that it stands for.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import cache

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
ENDING = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K = "|".join(
    [
        rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{ENDING}",
        rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{ENDING}",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)

_TEXT = (
    "the of and to in is you that it he was for on are as with his they at be this have from or "
    "one had by word but not what all were we when your can said there use an each which she do "
    "how their if will up other about out many then them these so some her would make like him "
    "into time has look two more write go see number no way could people my than first water been "
    "call who oil its now find long down day did get come made may part über naïve café Straße 东京 "
    "你好 可以 Привет мир مرحبا नमस्ते def return import None self print range {} [] () == != 123 "
    "2026 3.14 <b> </b> \n\n \n \t 'll 's don't it's"
)
WORDS = _TEXT.split(" ")


def texts(count: int, seed: int = 0) -> list[str]:
    """What the tokenizers are trained on."""
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=chance.randint(3, 40))) for _ in range(count)]


def _added(*contents: str, **flags: bool):
    from tokenizers import AddedToken

    return [AddedToken(each, **({"special": True, "normalized": False} | flags)) for each in contents]


def _byte_level(pattern: str, size: int = 900, ignore_merges: bool = False, nfc: bool = False):
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    made = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if nfc:
        made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        texts(300),
        trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False),
    )
    return made


def _with_bos(made, bos: str):
    from tokenizers import processors

    number = made.token_to_id(bos)
    made.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, number)])
    return made


def llama3():
    made = _byte_level(LLAMA3, ignore_merges=True)
    made.add_tokens(
        _added(
            "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
            "<|eom_id|>", "<|python_tag|>", *(f"<|reserved_special_token_{n}|>" for n in range(12)),
        )
    )  # fmt: skip
    return _with_bos(made, "<|begin_of_text|>")


def qwen():
    made = _byte_level(QWEN, nfc=True)
    made.add_tokens(_added("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>"))
    made.add_tokens(
        _added("<tool_call>", "</tool_call>", "<think>", "</think>", "<tool_response>", special=False)
    )
    return made


def o200k():
    made = _byte_level(O200K)
    made.add_tokens(
        _added(
            "<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|call|>", "<|return|>", "<|endoftext|>"
        )
    )
    return made


def phi4():
    made = _byte_level(LLAMA3)
    made.add_tokens(
        _added("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_sep|>", lstrip=True, rstrip=True)
    )
    return made


def _sentence_piece(scheme: str):
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="always", split=True)
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    made.train_from_iterator(
        texts(300), trainers.BpeTrainer(vocab_size=1100, special_tokens=tokens, show_progress=False)
    )
    document = json.loads(made.to_str())
    document["added_tokens"] = [each for each in document["added_tokens"] if each["content"][1:3] != "0x"]
    made = Tokenizer.from_str(json.dumps(document))
    if scheme == "legacy":
        made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        made.pre_tokenizer = None
    else:
        made.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme=scheme, split=False)
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return made


def mistral():
    made = _sentence_piece("legacy")
    made.add_tokens(_added("[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"))
    return _with_bos(made, "<s>")


def mistral_first():
    made = _sentence_piece("first")
    made.add_tokens(_added("[INST]", "[/INST]", "[TOOL_CALLS]"))
    return _with_bos(made, "<s>")


def llama2_always():
    return _with_bos(_sentence_piece("always"), "<s>")


def phi3():
    made = _sentence_piece("legacy")
    made.add_tokens(_added("<|endoftext|>"))
    made.add_tokens(_added("<|assistant|>", "<|system|>", "<|end|>", "<|user|>", rstrip=True))
    return _with_bos(made, "<s>")


def gemma():
    from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers

    document = json.loads(_sentence_piece("always").to_str())
    vocabulary = document["model"]["vocab"]
    for word in (
        "\n",
        "\n\n",
        "\n\n\n",
        "<h1>",
        "</h1>",
        "<bos>",
        "<eos>",
        "<start_of_turn>",
        "<end_of_turn>",
    ):
        vocabulary.setdefault(word, max(vocabulary.values()) + 1)
    made = Tokenizer.from_str(json.dumps(document))
    made.normalizer = normalizers.Replace(" ", "▁")
    made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    made.add_tokens(_added("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"))
    made.add_tokens(_added("\n\n", "\n\n\n", "<h1>", "</h1>", special=False))
    return _with_bos(made, "<bos>")


def unigram():
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    made.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="always")
    made.train_from_iterator(
        texts(300),
        trainers.UnigramTrainer(
            vocab_size=400,
            special_tokens=["<pad>", "<s>", "</s>", "<unk>"],
            unk_token="<unk>",
            show_progress=False,
        ),
    )
    made.add_tokens(_added("<|im_start|>", "<|im_end|>"))
    made.decoder = decoders.Metaspace()
    return made


def wordpiece():
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.train_from_iterator(
        texts(300),
        trainers.WordPieceTrainer(
            vocab_size=600, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"], show_progress=False
        ),
    )
    made.add_tokens(_added("<|im_start|>", "<|im_end|>"))
    return made


def gpt2_prefix():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    made.train_from_iterator(
        texts(300),
        trainers.BpeTrainer(
            vocab_size=800,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=["<|endoftext|>"],
            show_progress=False,
        ),
    )
    made.decoder = decoders.ByteLevel()
    made.add_tokens(_added("<|im_start|>", "<|im_end|>"))
    made.add_tokens(_added("<think>", special=False, normalized=True))
    made.add_tokens(_added("TOOL", special=False, single_word=True))
    return made


MAKERS: dict[str, Callable] = {
    make.__name__: make
    for make in (
        llama3, qwen, o200k, phi4, mistral, mistral_first, llama2_always, phi3, gemma, unigram, wordpiece,
        gpt2_prefix,
    )
}  # fmt: skip


@cache
def document(name: str) -> str:
    """The tokenizer.json of one of MAKERS."""
    made: str = MAKERS[name]().to_str()
    return made
