"""A machine for flows that are played by hand, and nothing of the real one's settings."""

import pytest
from support.environment import bare_environment  # noqa: F401 - a fixture
from support.machine import Machine

from oss_vector_retriever.client.coalesce import PendingFetch


@pytest.fixture
def machine():
    return Machine()


@pytest.fixture
def pend(machine):
    context = machine.context(coalesce=True)

    def pending(*keys, index="docs", timeout=None, **options):
        deadline = context.deadline(timeout)
        asked = {"return_data": True, "return_metadata": True, **options}
        return PendingFetch(context, index, list(keys), deadline=deadline, **asked)

    return pending
