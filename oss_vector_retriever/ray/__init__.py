"""Ray: millions of keys, fetched and written by the workers of a cluster. Needs the extra `ray`.

`fetch` and `upsert` are transforms of a Ray Dataset; `run_fetch` and `run_upsert` whole jobs, which
go on where they were when they are run again.
"""

from typing import TYPE_CHECKING

from ..lazy import make_lazy

if TYPE_CHECKING:
    from .jobs import JobReport, run_fetch, run_upsert
    from .transforms import fetch, upsert

_WHERE = {
    "JobReport": f"{__name__}.jobs",
    "fetch": f"{__name__}.transforms",
    "run_fetch": f"{__name__}.jobs",
    "run_upsert": f"{__name__}.jobs",
    "upsert": f"{__name__}.transforms",
}

__all__ = ["JobReport", "fetch", "run_fetch", "run_upsert", "upsert"]

__getattr__, __dir__ = make_lazy(__name__, _WHERE, extra="ray")
