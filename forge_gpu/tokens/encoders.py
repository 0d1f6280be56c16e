"""What turns pieces of text into ids: gigatoken, or Hugging Face's own library. Both from the same JSON."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from forge_gpu.errors import ForgeError
from forge_gpu.hardware.unused import give_back
from forge_gpu.kernels.layout import I64, U8

U32 = npt.NDArray[np.uint32]

INSTALL = "pip install 'forge-gpu[tokens]'"
MOST_BYTES = 2**29
"""A gigatoken object keeps what it has encoded; after so many bytes of text a fresh one takes its place."""


class Encoder(Protocol):
    """Encodes texts as they are: no token is added around them, and none in them is a control token.

    It belongs to one thread. name: of the library.
    """

    name: str

    def encode(self, data: U8, starts: I64, stops: I64) -> tuple[U32, I64]:
        """(ids: uint32[t], offsets: int64[m + 1]) of the m texts data[starts[i]:stops[i]], valid UTF-8 each.
        No Python object a text."""


class Gigatoken:
    """Raises ValueError where gigatoken does not take the tokenizer."""

    name = "gigatoken"

    def __init__(self, document: Callable[[], bytes], most_bytes: int = MOST_BYTES) -> None:
        """document: gives the JSON of the tokenizer; it is asked for again where a fresh object is made."""
        self._document, self._most_bytes, self._encoded = document, most_bytes, 0
        self._tokenizer = self._load()

    def _load(self) -> Any:
        import gigatoken

        try:
            made = gigatoken.Tokenizer.from_json(self._document()).backend  # the other holds its JSON too
        except Exception as error:  # whatever it raises: then the other library encodes
            raise ValueError(str(error)) from None
        give_back()
        return made

    def encode(self, data: U8, starts: I64, stops: I64) -> tuple[U32, I64]:
        import awkward as ak

        if not len(starts):
            return np.zeros(0, np.uint32), np.zeros(1, np.int64)
        lengths = stops - starts
        if self._encoded > self._most_bytes:
            self._tokenizer, self._encoded = self._load(), 0
        self._encoded += int(lengths.sum())
        offsets = np.zeros(len(starts) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        contents = ak.contents.NumpyArray(_gathered(data, starts, offsets), parameters={"__array__": "char"})
        texts = ak.contents.ListOffsetArray(
            ak.index.Index64(offsets), contents, parameters={"__array__": "string"}
        )
        layout = self._tokenizer.encode_batch(ak.Array(texts), parallel=False).layout
        bounds = np.asarray(layout.offsets.data).astype(np.int64, copy=False)
        ids = np.asarray(layout.content.data)[bounds[0] : bounds[-1]]
        return ids.astype(np.uint32, copy=False), bounds - bounds[0]


class HuggingFace:
    """The library `tokenizers`: the truth, and what encodes where gigatoken cannot. Raises ValueError.

    Nothing is put around a text, and none is cut off.
    """

    name = "tokenizers"

    def __init__(self, document: bytes) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # Forge's threads are the threads
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise ForgeError(f"tokens need the library tokenizers; install it: {INSTALL}") from None
        try:
            self._tokenizer = Tokenizer.from_buffer(document)
        except Exception as error:
            raise ValueError(str(error)) from None
        self._tokenizer.post_processor = None  # what it puts around a text is for a template to write
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        give_back()

    def encode(self, data: U8, starts: I64, stops: I64) -> tuple[U32, I64]:
        view = data.data
        texts = [str(view[start:stop], "utf-8") for start, stop in zip(starts, stops, strict=True)]
        return joined(self.ids(texts))

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        made = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in made]

    def with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """(ids, the characters of each)."""
        made = self._tokenizer.encode(text, add_special_tokens=False)
        return made.ids, made.offsets


def joined(lists: Sequence[Sequence[int]]) -> tuple[U32, I64]:
    """Lists as one array, and where each begins."""
    offsets = np.zeros(len(lists) + 1, np.int64)
    np.cumsum([len(each) for each in lists], out=offsets[1:])
    flat = np.fromiter((number for each in lists for number in each), np.uint32, int(offsets[-1]))
    return flat, offsets


def versions() -> dict[str, str]:
    """Of the libraries that encode; "" for one that is not there."""
    return {name: _version(name) for name in ("gigatoken", "tokenizers")}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _gathered(data: U8, starts: I64, offsets: I64) -> U8:
    from forge_gpu.kernels.cpu.token_rows import gather

    gathered: U8 = gather(data, starts, offsets)
    return gathered
