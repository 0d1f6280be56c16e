"""Runs the example of Lightning, stops it at some steps, and prints as JSON which runs went on with the same
batches.

python resume_lightning.py FOLDER OUTPUT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

torch.set_num_threads(1)
EXAMPLES = Path(__file__).parents[2] / "examples"


def main(folder: str, output: str) -> None:
    sys.path.append(str(EXAMPLES))
    import train_lightning as example  # type: ignore[import-not-found]

    example.main()
    whole = example.train(output)
    epoch = len(whole) // example.EPOCHS  # `drop_last` makes all epochs as long, if lines are cut alike
    seen = {}
    for stop in (epoch - 1, epoch, epoch + 1):
        before = example.train(output, steps=stop, checkpoints=folder)
        after = example.train(output, resumed=f"{folder}/last.ckpt")
        seen[stop] = len(before) == stop and before + after == whole
        Path(folder, "last.ckpt").unlink()
    print(json.dumps({"whole": whole, "seen": seen}))


if __name__ == "__main__":
    main(*sys.argv[1:])
