"""Runs the example of torchtitan, and prints as JSON what its loader gives: to one rank, and to two
that go on.

python batches_torchtitan.py OUTPUT
"""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[2] / "examples"


def main(output: str) -> None:
    sys.path.append(str(EXAMPLES))
    import train_torchtitan as example  # type: ignore[import-not-found]

    example.main()

    def loader(rank: int, world: int) -> Any:
        config = example.PreparedDataLoader.Config(dataset_path=output)
        return config.build(
            dp_rank=rank, dp_world_size=world, tokenizer=None, seq_len=example.LENGTH, local_batch_size=1
        )

    def taken(made: Any, steps: int) -> list[dict[str, list[int]]]:
        return [
            {**{name: value[0].tolist() for name, value in inputs.items()}, "labels": labels[0].tolist()}
            for inputs, labels in islice(made, steps)
        ]

    alone = loader(0, 1)
    before = taken(alone, 3)
    pair = [loader(rank, 2) for rank in (0, 1)]
    for each in pair:
        each.load_state_dict(alone.state_dict())
    after = [taken(each, 2) for each in pair]
    print(json.dumps({"whole": taken(loader(0, 1), 20), "before": before, "after": after}))


if __name__ == "__main__":
    main(*sys.argv[1:])
