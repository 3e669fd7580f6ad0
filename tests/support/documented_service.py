"""The clients that the frameworks' suites run on: of the embedded service, and a documented one.

All that is documented at once: a search shows a write after 3 seconds, a new index is `creating`
for 3 and refuses writes for 5 more, a search gives 30 hits at most and filters what it has found.
The service's clock stands still but for a second at each write that it refuses: no search ever
shows what was written after that.
"""

import pytest

from oss_vector_retriever import OSSVectorClient, emulator
from oss_vector_retriever.client import known_indexes
from oss_vector_retriever.records import indexing
from support.embedded import embedded
from support.promises import sized

DOCUMENTED = {
    "query_delay_seconds": 3.0,
    "index_creation_seconds": 3.0,
    "creating_refuses_writes": True,
    "enable_failure_seconds": 5.0,
    "top_k_limit": 30,
    "filter_after_ranking": True,
}


class LateService(emulator.Service):
    """Be a service whose clock moves on when it refuses a write."""

    def handle(self, request):
        reply = super().handle(request)
        if reply.status == 500:
            self.clock.advance(1.0)
        return reply


@pytest.fixture
def documented(monkeypatch):
    """Give a client of a service that does all that is documented."""
    # it is not this machine's time that makes an index ready
    monkeypatch.setattr(known_indexes, "_PAUSES", (0.001,))
    monkeypatch.setattr(indexing, "_MAKING_SECONDS", 0.001)
    clock, behaviour = emulator.ManualClock(), emulator.Behaviour(**DOCUMENTED)
    with LateService.in_memory(behaviour=behaviour, clock=clock) as service:
        service.clock = clock
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        with embedded(service) as client:
            yield client


ON_DOCUMENTED = pytest.param("documented", marks=pytest.mark.promise("P10"))


@pytest.fixture(params=sized(["embedded"], ["embedded", ON_DOCUMENTED]))
def client(request):
    """Give the client that the suites run on."""
    if request.param == "documented":
        yield request.getfixturevalue("documented")
        return
    with OSSVectorClient.local() as client:
        yield client
