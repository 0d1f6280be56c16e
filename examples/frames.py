"""Frames in training code: clean, render and split a pandas frame, and the same in Dask's partitions."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

import forge_gpu

HERE = Path(__file__).parent


def main() -> None:
    frame = pd.read_json(HERE / "chat.jsonl", lines=True)
    with forge_gpu.open_engine("cpu") as engine:
        unique = engine.deduplicate(frame, "messages")
        rows = unique.assign(text=engine.render(unique, "chatml"))
        print("refused:", engine.reasons(unique, "chatml").dropna().tolist())
        parts = engine.split(rows.dropna(subset="text"), test=0.2, stratify="category")
        print({name: len(part) for name, part in parts.items() if len(part)})

        try:
            import dask.dataframe as dd
        except ImportError:
            print("pip install 'forge-gpu[dask]' for the rest")
            return
        partitions = dd.from_map(frame.__getitem__, [slice(0, 20), slice(20, 40), slice(40, None)])
        lazy = engine.deduplicate(partitions, "messages")
        assert lazy.compute().index.tolist() == unique.index.tolist()
        print(f"{partitions.npartitions} partitions, the same {len(unique)} rows")


if __name__ == "__main__":
    main()
