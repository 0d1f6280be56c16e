"""Known faults of the packages of a lock, by pip-audit; what it could not look up is no clean bill.

    python -m tools.audit LOCK

Exit 1 where a package has a known fault, 2 where some could not be looked up.
"""

from __future__ import annotations

import json
import subprocess
import sys

SHOWN = 5
"""Names of packages that a line lists."""


def audit(lock: str) -> int:
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--requirement", lock]
    done = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        print(f"nothing was looked up: {why}")
        return 2
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    faults = [(package, fault) for package in packages for fault in package.get("vulns", ())]
    for package, fault in faults:
        mended = ", ".join(fault["fix_versions"]) or "no version yet"
        print(f"{package['name']} {package['version']}: {fault['id']}, mended in {mended}")
    print(f"{len(packages) - len(unknown)} of {len(packages)} packages looked up, {len(faults)} known faults")
    if unknown:
        more = ", …" if len(unknown) > SHOWN else ""
        print(f"not looked up, as their data could not be reached: {', '.join(unknown[:SHOWN])}{more}")
    return 1 if faults else 2 if unknown else 0


if __name__ == "__main__":
    sys.exit(audit(sys.argv[1]))
