"""Generated examples take as long as a busy machine lets them; tests say what they show."""

import signal

from hypothesis import HealthCheck, settings
from support.promises import figure, pytest_collection_modifyitems, pytest_terminal_summary

__all__ = ["figure", "pytest_collection_modifyitems", "pytest_terminal_summary"]

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# A shell that starts the tests in its background has them ignore Ctrl-C, and all their processes.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
