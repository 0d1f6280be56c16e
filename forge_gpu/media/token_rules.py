"""How many tokens an image or a sound becomes: the rules of the models' processors, each a function.

An image's rule takes its height and width in pixels, a sound's its seconds; the other arguments are those of
tokens.yaml. Each returns the tokens of the medium alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache


def fixed(*_: float, **length: int) -> int:
    """As many for each."""
    return sum(length.values())


def grid(height: int, width: int, *, crop_size: int, patch_size: int) -> int:
    """LLaVA 1.5: each image is cropped to one size."""
    return (crop_size // patch_size) ** 2


def smart_resize(
    height: int, width: int, *, patch_size: int, merge_size: int, min_pixels: int, max_pixels: int
) -> int:
    """Qwen2-VL and later: sides become multiples of a merged patch, near the image's own, within an area."""
    side = patch_size * merge_size
    high, wide = round(height / side) * side, round(width / side) * side
    if high * wide > max_pixels:
        shrunk = math.sqrt(height * width / max_pixels)
        high = max(side, math.floor(height / shrunk / side) * side)
        wide = max(side, math.floor(width / shrunk / side) * side)
    elif high * wide < min_pixels:
        grown = math.sqrt(min_pixels / (height * width))
        high, wide = (math.ceil(each * grown / side) * side for each in (height, width))
    return (high // patch_size) * (wide // patch_size) // merge_size**2


def unpadded_grid(
    height: int, width: int, *, crop_size: int, patch_size: int, image_grid_pinpoints: Sequence[Sequence[int]]
) -> int:
    """LLaVA-NeXT: the image as one tile, and in tiles of the best of some sizes, less the rows that pad it,
    each row with a token for its end."""
    patches = crop_size // patch_size
    best = _best_resolution(height, width, image_grid_pinpoints)
    high, wide = (patches * (side // crop_size) for side in best)
    if width / height > wide / high:
        high -= (high - int(round(height * (wide / width), 7))) // 2 * 2
    else:
        wide -= (wide - int(round(width * (high / height), 7))) // 2 * 2
    return high * wide + high + patches * patches


def _best_resolution(height: int, width: int, sizes: Sequence[Sequence[int]]) -> Sequence[int]:
    """The one of which an image fills most; of these the one with least left over."""

    def filled(size: Sequence[int]) -> tuple[int, int]:
        scale = min(size[1] / width, size[0] / height)
        pixels = min(int(width * scale) * int(height * scale), width * height)
        return pixels, pixels - size[0] * size[1]

    return max(sizes, key=filled)


def soft_tokens(
    height: int, width: int, *, patch_size: int, pooling_kernel_size: int, max_soft_tokens: int
) -> int:
    """Gemma 4: the largest size of the image's proportions that gives so many tokens at the most."""
    side = patch_size * pooling_kernel_size
    scale = math.sqrt(max_soft_tokens * side**2 / (height * width))
    high, wide = (math.floor(scale * each / side) for each in (height, width))
    if not high:
        high, wide = 1, min(width // height, max_soft_tokens)
    elif not wide:
        high, wide = min(height // width, max_soft_tokens), 1
    return high * wide


def tiles(
    height: int, width: int, *, tile: int, patch_size: int, pixel_shuffle_ratio: float, max_patches: int
) -> int:
    """Llama 4: tiles of the canvas that fits best, and of several the whole image as one more; each tile but
    the last of a row is followed by a token, and so is each row."""
    of_tile = int((tile // patch_size) ** 2 // round(1 / pixel_shuffle_ratio**2))
    high, wide = _canvas(height, width, tile, max_patches)
    if high * wide == 1:
        return of_tile
    return high * wide * of_tile + high * (wide - 1) + high + of_tile


def _canvas(height: int, width: int, tile: int, most: int) -> tuple[int, int]:
    """The tiles, (down, across), into which an image is enlarged least, or else shrunk least; of these the
    smallest area, the first of those."""
    scales = {each: min(tile * each[0] / height, tile * each[1] / width) for each in _canvases(most)}
    enlarging = [scale for scale in scales.values() if scale >= 1]
    scale = min(enlarging) if enlarging else max(scales.values())
    return min((each for each, own in scales.items() if own == scale), key=lambda each: each[0] * each[1])


@cache
def _canvases(most: int) -> Sequence[tuple[int, int]]:
    """All shapes of up to so many tiles, those of one proportion together."""
    by_ratio: dict[float, list[tuple[int, int]]] = {}
    for count in range(most, 0, -1):
        for high in (each for each in range(1, count + 1) if count % each == 0):
            by_ratio.setdefault(high / (count // high), []).append((high, count // high))
    return [each for shapes in by_ratio.values() for each in shapes]


def pooled_frames(seconds: float, *, sampling_rate: int, hop_length: int, chunk_length: int) -> int:
    """Qwen2-Audio and Qwen2.5-Omni: frames of Whisper's features, halved by a convolution and a pooling."""
    samples = min(_samples(seconds, sampling_rate), chunk_length * sampling_rate)
    frames = -(-samples // hop_length)
    return max(((frames - 1) // 2 + 1 - 2) // 2 + 1, 0)


def windowed_frames(seconds: float, *, sampling_rate: int, hop_length: int, n_window: int) -> int:
    """Qwen3-Omni: windows of frames, each halved three times."""
    whole, left = divmod(_samples(seconds, sampling_rate) // hop_length, 2 * n_window)
    return whole * _halved(2 * n_window, 3) + _halved(left, 3)


def halved_frames(
    seconds: float, *, sampling_rate: int, frame_length: int, hop_length: int, chunk_length: int
) -> int:
    """Gemma 4: frames of the sound, halved twice."""
    samples = min(_samples(seconds, sampling_rate), chunk_length * sampling_rate)
    frames = (samples + frame_length // 2 - (frame_length + 1)) // hop_length + 1
    return _halved(max(frames, 0), 2)


def _halved(frames: int, times: int) -> int:
    for _ in range(times):
        frames = (frames - 1) // 2 + 1
    return frames


def _samples(seconds: float, sampling_rate: int) -> int:
    """Of a sound at another rate than its own."""
    return math.ceil(round(seconds * sampling_rate, 6))


RULES: dict[str, Callable[..., int]] = {
    rule.__name__: rule
    for rule in (
        *(fixed, grid, smart_resize, unpadded_grid, soft_tokens, tiles),
        *(pooled_frames, windowed_frames, halved_frames),
    )
}
"""By their names in tokens.yaml."""
