import pytest
from support.embedded import embedded
from support.studio_page import HIDDEN, opened
from support.watched_service import Watched

from oss_vector_retriever.emulator import DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_BUCKET


@pytest.fixture
def service():
    with Watched.in_memory() as service:
        service.create_bucket(DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_BUCKET)
        yield service


@pytest.fixture
def client(service):
    """Give a blocking client, by which a test writes what the page is to show."""
    with embedded(service) as client:
        client.put_vector_index(dimension=2, non_filterable_metadata_keys=HIDDEN)
        yield client


@pytest.fixture
async def http(client):
    """Give what asks the page."""
    shown = client.to_async()
    asking, _ = opened(shown)
    async with asking:
        yield asking
    await shown.close()
