"""The environment of tests that must not depend on this machine's."""

import os

import pytest

from oss_vector_retriever.client.transport.engine import VARIABLE


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    """Nothing of this machine's own settings reaches a test."""
    for name in set(os.environ) - {VARIABLE}:
        if name.startswith(("OSS_", "ALIBABA_CLOUD_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
