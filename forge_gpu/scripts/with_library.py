"""HEADLINE

Runs the plan below through the library: python prepare_data.py [OUTPUT]. Change a value and run it again.
"""

from __future__ import annotations

import sys
from typing import Any

# plan: begin
PLAN: dict[str, Any] = {}
# plan: end


def main() -> None:
    import forge_gpu

    plan = forge_gpu.ForgeConfig.model_validate(PLAN)
    result = forge_gpu.prepare(plan, output=sys.argv[1] if len(sys.argv) > 1 else "prepared")
    for fate, rows in result.counts.items():
        print(f"{fate:24}{rows:>12,}")


if __name__ == "__main__":
    main()
