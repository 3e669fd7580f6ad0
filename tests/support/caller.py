"""A caller that signs requests with the client's own signing, and hands them to a service."""

from datetime import UTC, datetime

import orjson

from oss_vector_retriever.client import signing
from oss_vector_retriever.client.models.messages import Request
from oss_vector_retriever.emulator import DEVELOPMENT_BUCKET, DEVELOPMENT_KEY, DEVELOPMENT_REGION


class Caller:
    """Send signed requests to a service and read what comes back."""

    def __init__(
        self, service, key=DEVELOPMENT_KEY, bucket=DEVELOPMENT_BUCKET, region=DEVELOPMENT_REGION
    ):
        self.service = service
        self.key = key
        self.bucket = bucket
        self.region = region

    def sign(self, method, query="", body=b"", *, headers=None, now=None, token=None, **other):
        """Return a signed request in path style; `other` replaces bucket, origin and more."""
        bucket = other.get("bucket", self.bucket)
        region = other.get("region", self.region)
        moment = now or datetime.now(UTC)
        sent = {"content-type": "application/json", **signing.dated_headers(moment, token)}
        sent |= headers or {}
        account = other.get("account", self.key.account_id)
        resource = signing.resource_name(region, account, bucket)
        additional = tuple(other.get("additional", ()))
        signable = signing.Signable(method, resource, query, sent, additional)
        stamp = signing.timestamp(moment)
        scope = signing.Scope(stamp[:8], region)
        sent["authorization"] = signing.authorization(
            signable, self.key.id, self.key.secret, stamp, scope
        )
        origin = other.get("origin", "http://127.0.0.1:9000")
        path = other.get("path", f"/{bucket}/" if bucket else "/")
        return Request(method, origin, path, query, sent, body)

    def send(self, method, query="", body=b"", **other):
        """Return the reply to a signed request."""
        return self.service.handle(self.sign(method, query, body, **other))

    def post(self, operation, members=None, **other):
        """Return (status, parsed body) of an operation; `members` may be raw bytes."""
        if members is None:
            body = b""
        elif isinstance(members, bytes):
            body = members
        else:
            body = orjson.dumps(members, option=orjson.OPT_SERIALIZE_NUMPY)
        reply = self.send("POST", operation, body, **other)
        return reply.status, orjson.loads(reply.body) if reply.body else None

    def code(self, operation, members=None, **other):
        """Return (status, error code) of an operation that is refused."""
        status, parsed = self.post(operation, members, **other)
        return status, parsed["Error"]["Code"]

    def message(self, operation, members=None, **other):
        """Return the error message of an operation that is refused."""
        return self.post(operation, members, **other)[1]["Error"]["Message"]

    def make_index(self, name="index1", dimension=3, metric="euclidean", non_filterable=()):
        """Make an index."""
        members = {
            "indexName": name,
            "dataType": "float32",
            "dimension": dimension,
            "distanceMetric": metric,
        }
        if non_filterable:
            members["metadata"] = {"nonFilterableMetadataKeys": list(non_filterable)}
        assert self.post("putVectorIndex", members) == (200, None)

    def put(self, *vectors, index="index1"):
        """Put vectors given as (key, values) or (key, values, metadata)."""
        shaped = [
            {"key": key, "data": {"float32": values}} | ({"metadata": rest[0]} if rest else {})
            for key, values, *rest in vectors
        ]
        outcome = self.post("putVectors", {"indexName": index, "vectors": shaped})
        assert outcome == (200, None), outcome

    def get(self, keys, *, index="index1", data=True, metadata=True):
        """Return the vectors of a GetVectors reply."""
        members = {"indexName": index, "keys": keys, "returnData": data, "returnMetadata": metadata}
        status, parsed = self.post("getVectors", members)
        assert status == 200, parsed
        return parsed["vectors"]

    def query(self, values, top_k=10, *, index="index1", **members):
        """Return the vectors of a QueryVectors reply."""
        asked = {"indexName": index, "queryVector": {"float32": values}, "topK": top_k}
        status, parsed = self.post("queryVectors", asked | members)
        assert status == 200, parsed
        return parsed["vectors"]
