"""The official SDK, unchanged, against a running server.

It is given the server as its proxy, so it asks for the real host names in absolute form, and no
name has to resolve. (`proxy_host` as text is handed on in a form that is ignored; as a dict it
works.)
"""

import contextlib
import inspect

import alibabacloud_oss_v2 as oss
import pytest
from alibabacloud_oss_v2 import vectors
from support.official_sdk import official_client

from oss_vector_retriever.emulator import (
    DEVELOPMENT_ACCOUNT_ID,
    DEVELOPMENT_KEY,
    AccessKey,
    Server,
    Service,
)

models = vectors.models
TEMPORARY = AccessKey("temporary", "secret", DEVELOPMENT_ACCOUNT_ID, security_token="token")


class Sdk:
    """Make clients of the SDK, and make its calls with the bucket and the index filled in."""

    bucket = "sdk-bucket"
    index = "sdkIndex"

    def __init__(self, server):
        self.server = server
        self.client = self.connect()

    def connect(self, *access_key, **more):
        """Return a client; `more` are settings of the SDK."""
        return official_client(self.server.endpoint, *access_key, **more)

    def request(self, operation, **members):
        """Return a request of the SDK, such as `GetVectors`, for the bucket and the index."""
        kind = getattr(models, f"{operation}Request")
        taken = inspect.signature(kind).parameters
        known = {"bucket": self.bucket, "index_name": self.index}
        return kind(**{name: known[name] for name in known if name in taken} | members)

    @staticmethod
    def model(name, **members):
        """Return a part of a request."""
        return getattr(models, name)(**members)

    def call(self, operation, *, client=None, **members):
        """Make a call and return its result."""
        method = getattr(client or self.client, _method(operation))
        return method(self.request(operation, **members))

    def failure(self, operation, *, client=None, **members):
        """Return the ServiceError that a call ends with."""
        with pytest.raises(oss.exceptions.OperationError) as caught:
            self.call(operation, client=client, **members)
        error = caught.value.unwrap()
        assert isinstance(error, oss.exceptions.ServiceError)
        return error

    def put(self, *items):
        """Put vectors given as (key, values, metadata)."""
        shaped = [{"key": k, "data": {"float32": v}, "metadata": m} for k, v, m in items]
        result = self.call("PutVectors", vectors=shaped)
        assert result.status_code == 200
        assert len(result.request_id) == 24

    def get(self, keys, **more):
        """Return the vectors of a GetVectors reply."""
        return self.call("GetVectors", keys=keys, **more).vectors

    def make_index(self, name, dimension=2, metric="cosine", **more):
        """Make an index."""
        return self.call(
            "PutVectorIndex",
            index_name=name,
            data_type="float32",
            dimension=dimension,
            distance_metric=metric,
            **more,
        )

    def clean(self):
        """Remove the bucket with what is in it."""
        self.call("DeleteBucketPolicy")
        for index in self.call("ListVectorIndexes").indexes:
            self.call("DeleteVectorIndex", index_name=index["indexName"])
        assert self.call("DeleteVectorBucket").status_code == 204


def _method(operation):
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in operation).lstrip("_")


@pytest.fixture(scope="session")
def empty_sdk():
    """Return the SDK on a server without buckets."""
    keys = [DEVELOPMENT_KEY, TEMPORARY]
    with Service(access_keys=keys) as service, Server(service) as running:
        yield Sdk(running)


@pytest.fixture
def sdk(empty_sdk):
    """Return the SDK with a bucket and an index of two dimensions, both removed afterwards."""
    empty_sdk.call("PutVectorBucket")
    hidden = {"nonFilterableMetadataKeys": ["text"]}
    assert empty_sdk.make_index(empty_sdk.index, metadata=hidden).status_code == 200
    yield empty_sdk
    with contextlib.suppress(oss.exceptions.OperationError):
        empty_sdk.clean()
