"""A service, and a caller that signs requests to it."""

from support.caller_fixtures import caller, make_caller  # noqa: F401 - fixtures
