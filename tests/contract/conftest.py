"""One suite for every way to reach a service: embedded, over HTTP, and a live one if named.

A live service is named by OSS_VECTORS_LIVE_BUCKET beside the usual OSS_* variables; the suite then
makes and deletes an index of its own there (`pytest -m live tests/contract`). With
OSS_VECTORS_LIVE_RECORD, a file of `oss-vectors doctor --record`, the client is told what its
account does, and the suite waits for what lags.
"""

import uuid

import pytest
from support.faces import FACES, close_face, live_face

from oss_vector_retriever import emulator


@pytest.fixture(scope="session")
def server():
    with emulator.Service.in_memory() as service, emulator.Server(service) as running:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        yield running


def settings_of(server):
    return {
        "endpoint": server.endpoint,
        "bucket": emulator.DEVELOPMENT_BUCKET,
        "account_id": emulator.DEVELOPMENT_ACCOUNT_ID,
        "region": emulator.DEVELOPMENT_REGION,
        "credentials": (emulator.DEVELOPMENT_ACCESS_KEY_ID, emulator.DEVELOPMENT_ACCESS_KEY_SECRET),
    }


WAYS = [
    "embedded-sync",
    "embedded-async",
    "http-sync",
    "http-async",
    pytest.param("live-sync", marks=pytest.mark.live),
    pytest.param("live-async", marks=pytest.mark.live),
]


@pytest.fixture(params=WAYS)
def face(request, server):
    """Give a client to call, with an index of its own, which is gone afterwards."""
    where, how = request.param.split("-")
    kind, wrap = FACES[how]
    index = f"contract{uuid.uuid4().hex[:12]}"
    if where == "live":
        face = live_face(how, index)
    else:
        options = {"index": index, **settings_of(server)}
        face = wrap(kind.local(index=index) if where == "embedded" else kind(**options))
    if face is None:
        pytest.skip("no live service is named")
    face.put_vector_index(dimension=3)
    yield face
    close_face(face, index)
