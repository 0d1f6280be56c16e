"""Kill jobs of all forms of output, and fail their calls; exit 1 where they leave anything else than without.

python -m benchmarks.acceptance.faults KILLS FAULTS [SEED [NAME ...]]    # NAME: a form, all without
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.faults.injector import attack, started
from tests.faults.plans import plans


def main(kills: int, faults: int, seed: int = 0, names: Sequence[str] = ()) -> int:
    differences: list[str] = []
    killed = failed = refused = 0
    with tempfile.TemporaryDirectory() as name, started(Path(name)) as injector:
        made = {form: plan for form, plan in plans(Path(name)).items() if not names or form in names}
        for number, (form, plan) in enumerate(made.items()):
            some_kills, some_faults = (
                total // len(made) + (number < total % len(made)) for total in (kills, faults)
            )
            tally = attack(injector, form, plan, Path(name), some_kills, some_faults, seed)
            killed, failed, refused = killed + tally.kills, failed + tally.faults, refused + tally.refused
            differences += tally.differences
            for difference in tally.differences:
                print(f"DIFFERS {difference}")
            print(f"{form}: {tally.kills} kills, {tally.faults} faults ({tally.refused} refused)", flush=True)
    print(f"{killed} kills, {failed} faults ({refused} refused), {len(differences)} differences")
    return 1 if differences else 0


if __name__ == "__main__":
    kills, faults, seed = (int(number) for number in [*sys.argv[1:4], "0"][:3])
    sys.exit(main(kills, faults, seed, sys.argv[4:]))
