"""What the processors of transformers make of images and sounds of many sizes, as a table for a test.

    python -m tools.media_tokens > tests/media/token_counts.json

It needs transformers, torch, torchvision and Pillow. Each processor is called with a text that has its
placeholder once, and an image or a sound of zeros; what is counted is what the placeholder became, by a
tokenizer that is made here and that has a token for each character and for each of the model's marks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

SIZES = [(1, 1), (8, 8), (28, 28), (27, 29), (56, 56), (100, 100), (224, 224), (336, 336), (337, 335)]
SIZES += [(480, 640), (640, 480), (512, 512), (720, 1280), (1080, 1920), (1920, 1080), (1000, 1000)]
SIZES += [(100, 1000), (1000, 100), (30, 900), (900, 30), (2000, 3000), (3000, 2000), (4032, 3024)]
SIZES += [(343, 661), (661, 343), (673, 672), (999, 1001), (17, 3200), (3200, 17), (2500, 2500)]
"""(height, width)"""
SECONDS = [0.05, 0.1, 0.5, 0.99, 1.0, 1.01, 2.345, 5.0, 9.87, 15.0, 29.99, 30.0, 31.0, 61.5]
RATE = 16000
SQUARE = {"height": 336, "width": 336}


def tokenizer(**special: str) -> Any:
    """One token a character; `special` as attributes too."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {chr(code): code for code in range(128)}
    inner = Tokenizer(models.WordLevel(vocabulary | {"\n\n": 128}, unk_token="~"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"\n\n|[\s\S]"), "isolated")
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="~", pad_token="`", extra_special_tokens=special
    )
    made.add_special_tokens({"additional_special_tokens": sorted(set(special.values()))})
    for name, text in special.items():
        setattr(made, f"{name}_id", made.convert_tokens_to_ids(text))
    return made


def qwen_vl(processor: str, **image: Any) -> tuple[Any, str]:
    import transformers

    image_processor = transformers.Qwen2VLImageProcessor(**image)
    video = getattr(transformers, "Qwen3VLVideoProcessor" if "3" in processor else "Qwen2VLVideoProcessor")()
    marks = tokenizer(
        image_token="<|image_pad|>",
        video_token="<|video_pad|>",
        vision_start_token="<|vision_start|>",
        vision_end_token="<|vision_end|>",
    )
    made = getattr(transformers, processor)(
        image_processor=image_processor, tokenizer=marks, video_processor=video, chat_template="x"
    )
    return made, "<|image_pad|>"


def llava(name: str) -> tuple[Any, str]:
    import transformers

    image = {"Llava": "CLIP", "LlavaNext": "LlavaNext"}[name]
    made = getattr(transformers, f"{name}Processor")(
        image_processor=getattr(transformers, f"{image}ImageProcessor")(
            size={"shortest_edge": 336}, crop_size=SQUARE
        ),
        tokenizer=tokenizer(image_token="<image>"),
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    return made, "<image>"


def gemma3() -> tuple[Any, str]:
    import transformers

    marks = tokenizer(
        boi_token="<start_of_image>", eoi_token="<end_of_image>", image_token="<image_soft_token>"
    )
    return transformers.Gemma3Processor(transformers.Gemma3ImageProcessor(), marks), "<start_of_image>"


def _gemma_marks() -> Any:
    return tokenizer(
        boi_token="<|image>",
        eoi_token="<image|>",
        image_token="<|image|>",
        boa_token="<|audio>",
        eoa_token="<audio|>",
        audio_token="<|audio|>",
    )


def gemma3n() -> Any:
    import transformers

    return transformers.Gemma3nProcessor(
        transformers.Gemma3nAudioFeatureExtractor(),
        transformers.SiglipImageProcessor(size={"height": 768, "width": 768}),
        _gemma_marks(),
    )


def gemma4() -> Any:
    import transformers

    return transformers.Gemma4Processor(
        transformers.Gemma4AudioFeatureExtractor(),
        transformers.Gemma4ImageProcessor(),
        _gemma_marks(),
        transformers.Gemma4VideoProcessor(),
    )


def llama4() -> tuple[Any, str]:
    import transformers

    marks = tokenizer(
        **{name: f"<|{name}|>" for name in ("image_start", "image_end", "patch", "tile_x_separator")},
        tile_y_separator="<|tile_y_separator|>",
        image_token="<|image|>",
    )
    image = transformers.Llama4ImageProcessor()
    return transformers.Llama4Processor(image, marks), "<|image|>"


def qwen_audio() -> tuple[Any, str]:
    import transformers

    marks = tokenizer(
        audio_token="<|AUDIO|>", audio_bos_token="<|audio_bos|>", audio_eos_token="<|audio_eos|>"
    )
    extractor = transformers.WhisperFeatureExtractor(feature_size=128)
    return transformers.Qwen2AudioProcessor(extractor, marks), "<|AUDIO|>"


def omni(processor: str, **image: Any) -> Any:
    import transformers

    names = ("image", "audio", "video", "vision_bos", "vision_eos", "audio_bos", "audio_eos")
    marks = tokenizer(**{f"{name}_token": f"<|{name}|>" for name in names})
    video = transformers.Qwen2VLVideoProcessor()
    extractor = transformers.WhisperFeatureExtractor(feature_size=128, chunk_length=300)
    return getattr(transformers, processor)(
        transformers.Qwen2VLImageProcessor(**image), video, extractor, marks, chat_template="x"
    )


def images(made: Any, mark: str) -> Iterator[list[int]]:
    from PIL import Image

    for height, width in SIZES:
        try:
            ids = made(text=f"a{mark}b", images=[Image.new("RGB", (width, height))])["input_ids"][0]
        except ValueError:
            continue  # no image of such proportions goes to this model
        yield [height, width, len(ids) - 2]


def sounds(made: Any, mark: str) -> Iterator[list[float]]:
    import numpy as np

    for seconds in SECONDS:
        sound = np.zeros(round(seconds * RATE), np.float32)
        ids = made(text=f"a{mark}b", audio=[sound], sampling_rate=RATE)["input_ids"][0]
        yield [seconds, len(ids) - 2]


def _sized(least: int, most: int) -> dict[str, Any]:
    return {"size": {"shortest_edge": least, "longest_edge": most}}


FAMILIES: dict[str, dict[str, Callable[[], tuple[Any, str]]]] = {
    "qwen2-vl": {"images": lambda: qwen_vl("Qwen2VLProcessor", **_sized(3136, 12845056))},
    "qwen2.5-vl": {"images": lambda: qwen_vl("Qwen2_5_VLProcessor", **_sized(3136, 12845056))},
    "qwen3-vl": {"images": lambda: qwen_vl("Qwen3VLProcessor", **_sized(65536, 16777216), patch_size=16)},
    "llava": {"images": lambda: llava("Llava")},
    "llava-next": {"images": lambda: llava("LlavaNext")},
    "gemma-3": {"images": gemma3},
    "gemma-3n": {
        "images": lambda: (gemma3n(), "<|image|>"),
        "audios": lambda: (gemma3n(), "<|audio|>"),
    },
    "gemma-4": {"images": lambda: (gemma4(), "<|image|>"), "audios": lambda: (gemma4(), "<|audio|>")},
    "llama-4": {"images": llama4},
    "qwen2-audio": {"audios": qwen_audio},
    "qwen2.5-omni": {
        "images": lambda: (omni("Qwen2_5OmniProcessor", **_sized(3136, 12845056)), "<|image|>"),
        "audios": lambda: (omni("Qwen2_5OmniProcessor"), "<|audio|>"),
    },
    "qwen3-omni": {
        "images": lambda: (
            omni("Qwen3OmniMoeProcessor", **_sized(3136, 12845056), patch_size=16),
            "<|image|>",
        ),
        "audios": lambda: (omni("Qwen3OmniMoeProcessor"), "<|audio|>"),
    },
}
COUNT = {"images": images, "audios": sounds}


def main() -> int:
    made = {name: version(name) for name in ("transformers", "torch", "torchvision")}
    counts: dict[str, Any] = {}
    for family, kinds in FAMILIES.items():
        for kind, make in kinds.items():
            print(family, kind, file=sys.stderr)
            counts.setdefault(family, {})[kind] = list(COUNT[kind](*make()))
    lines = [f'  "{family}": {json.dumps(each)}' for family, each in counts.items()]
    print("{" + f'"made_with": {json.dumps(made)},\n"counts": {{\n' + ",\n".join(lines) + "\n}}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
