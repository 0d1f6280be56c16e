"""What runs in a container: the job, and who looks at it for the report."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from forge_gpu.container.inside import main

if TYPE_CHECKING:
    from forge_gpu.container.inside import Looking
    from forge_gpu.job.state.spec import JobSpec


def looking(spec: JobSpec) -> Looking | None:
    """The report's collector, and the listener that it is; None where the plan has no report."""
    from forge_gpu.job.events.dispatch import PACE, of_events
    from forge_gpu.report.collect import ReportCollector

    if not spec.config.output.report:
        return None
    collector = ReportCollector(spec.command)
    return collector, of_events(collector, "the report", PACE)


if __name__ == "__main__":
    sys.exit(main(looking))
