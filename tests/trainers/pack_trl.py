"""Packs rows of given lengths with TRL's own packing, a table a case; prints them as JSON.

python pack_trl.py CASES.json, a list of [lengths, tokens of a pack, strategy]
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from trl.data_utils import _pack_bfd, _pack_wrapped


def main(file: str) -> None:
    made = []
    for lengths, most, strategy in json.loads(Path(file).read_text()):
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        rows = np.repeat(np.arange(len(lengths)), lengths)  # each token says which row it is of
        table = pa.table({"input_ids": pa.LargeListArray.from_arrays(offsets, rows)})
        began = time.process_time()
        packed = (_pack_bfd if strategy == "bfd" else _pack_wrapped)(table, most)
        print(
            f"{strategy} {most}: {time.process_time() - began:.3f} s of {len(lengths)} rows", file=sys.stderr
        )
        made.append([list(dict.fromkeys(pack)) for pack in packed["input_ids"].to_pylist()])
    print(json.dumps(made))


if __name__ == "__main__":
    main(*sys.argv[1:])
