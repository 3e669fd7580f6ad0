"""A server that says nothing, and an index in a file."""

from support.command_fixtures import no_settings, socket_that_never_answers, stored  # noqa: F401 - fixtures
