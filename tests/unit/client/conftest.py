"""A machine for flows that are played by hand, and nothing of the real one's settings."""

import pytest
from support.environment import bare_environment  # noqa: F401 - a fixture
from support.machine import Machine


@pytest.fixture
def machine():
    return Machine()
