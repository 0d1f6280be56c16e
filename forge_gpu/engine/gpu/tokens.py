"""What a job for tokens asks of a device. Ids are made on the host; the marks are taken out of texts that are
on the device before they come down."""

from __future__ import annotations

from forge_gpu.engine.gpu.device import ChunkDevice
from forge_gpu.engine.marked import Unmarked
from forge_gpu.kernels.cuda import token_marks
from forge_gpu.kernels.layout import PADDING, Text
from forge_gpu.kernels.token_layout import Runs


def unmark(text: Text, device: ChunkDevice) -> Unmarked:
    """A text on the device without its marks, on the host; while the device is entered."""
    here = device.download
    texts, *ranges, unknown = token_marks.unmark(text, device)
    offsets = here(texts.offsets)
    literals, trained = (Runs(here(each.offsets), here(each.start), here(each.stop)) for each in ranges)
    data = here(texts.data[: int(offsets[-1]) + PADDING])
    data[int(offsets[-1]) :] = 0
    return Unmarked(Text(data, offsets), literals, trained, here(unknown))
