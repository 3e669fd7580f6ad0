"""Faults that users switch on for their own tests.

    service.faults.add(Throttle(times=3, operation="GetVectors"), Delay(seconds=0.2))

The next `times` requests for its operation meet a fault, also those that are not signed. Of
`Throttle`, `ServerError`, `Truncate` and `Reset` a request meets one, the first added, so that
several follow one another; the other kinds come with it, the first added of each. What happened is
in `service.faults.applied`.

Over HTTP the same is done at `/_emulator/faults`.
"""

from .applied import AppliedFault, Faults, Outcome
from .kinds import Delay, Duplicate, Fault, Reorder, Reset, ServerError, Skew, Throttle, Truncate

__all__ = [
    "AppliedFault",
    "Delay",
    "Duplicate",
    "Fault",
    "Faults",
    "Outcome",
    "Reorder",
    "Reset",
    "ServerError",
    "Skew",
    "Throttle",
    "Truncate",
]
