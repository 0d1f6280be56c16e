"""Small images and sounds, and files that are neither."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image


def image(number: int = 0, form: str = "PNG", size: tuple[int, int] = (32, 24)) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", size, (number % 256, 128, 0)).save(made, form)
    return made.getvalue()


def sound(number: int = 0, form: str = "WAV", seconds: float = 0.5) -> bytes:
    made = io.BytesIO()
    wave = np.sin(np.arange(int(8000 * seconds)) / (number + 5)) / 3
    soundfile.write(made, wave, 8000, format=form)
    return made.getvalue()


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A PNG of some bytes that says it has billions of pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


VIDEO = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(64)
BAD = {
    "empty.png": (b"", "media_unreadable"),
    "cut.png": (image()[:14], "media_unreadable"),
    "noise.png": (b"\x89PNG\r\n\x1a\n" + bytes(range(200)), "media_unreadable"),
    "noise.jpg": (b"\xff\xd8\xff" + bytes(range(200)), "media_unreadable"),
    "noise.webp": (b"RIFF\x10\0\0\0WEBPVP8 " + bytes(9), "media_unreadable"),
    "noise.tif": (b"II*\0\xff\xff\xff\x7f" + bytes(30), "media_unreadable"),
    "page.png": (b"<!doctype html><p>404", "media_type"),
    "sound.png": (sound(), "media_type"),
    "bomb.png": (bomb(), "media_bomb"),
}


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
