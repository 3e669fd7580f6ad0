"""Nothing of this machine's own settings."""

from support.environment import bare_environment  # noqa: F401 - a fixture
