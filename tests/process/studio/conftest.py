import pytest
from support.served_page import serving_page
from support.watched_service import Watched

from oss_vector_retriever.emulator import (
    DEVELOPMENT_ACCESS_KEY_ID,
    DEVELOPMENT_ACCESS_KEY_SECRET,
    DEVELOPMENT_ACCOUNT_ID,
    DEVELOPMENT_BUCKET,
)


@pytest.fixture(scope="module")
def served():
    """Give the endpoint of a service with its page, and a client that writes to it."""
    with Watched.in_memory() as service:
        service.create_bucket(DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_BUCKET)
        with serving_page(service) as (endpoint, client):
            yield endpoint, client


@pytest.fixture
def access_keys(monkeypatch):
    """Put the published keys where copied code takes them from."""
    monkeypatch.setenv("OSS_ACCESS_KEY_ID", DEVELOPMENT_ACCESS_KEY_ID)
    monkeypatch.setenv("OSS_ACCESS_KEY_SECRET", DEVELOPMENT_ACCESS_KEY_SECRET)
