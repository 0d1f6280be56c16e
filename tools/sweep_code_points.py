"""Make forge_gpu/tokens/differing.json: the code points on which the installed libraries differ.

python -m tools.sweep_code_points
"""

from __future__ import annotations

from pathlib import Path

import orjson

from forge_gpu.tokens import differing
from forge_gpu.tokens.encoders import versions

TARGET = Path(differing.__file__).with_name("differing.json")


def main() -> None:
    found = {"versions": versions(), "ranges": differing.ranges_of(differing.sweep())}
    TARGET.write_bytes(orjson.dumps(found) + b"\n")
    print(f"{TARGET}: {len(found['ranges'])} ranges")


if __name__ == "__main__":
    main()
