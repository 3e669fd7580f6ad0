"""A machine for flows that are played by hand, and nothing of the real one's settings."""

import os

import pytest
from support.machine import Machine

from oss_vector_retriever.client.transport.http import VARIABLE


@pytest.fixture
def machine():
    return Machine()


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    """Nothing of this machine's own settings reaches a test."""
    for name in set(os.environ) - {VARIABLE}:
        if name.startswith(("OSS_", "ALIBABA_CLOUD_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
