"""Alibaba's own SDK: its client of vectors, which is a blocking one."""

import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from content import make_vectors
from worker import essence_of_vector, serve


def make_client(job):
    import alibabacloud_oss_v2 as oss
    from alibabacloud_oss_v2 import vectors

    # It asks a host that begins with the bucket's name: every name is this machine. Once for a
    # connection, so that it costs nothing where connections are kept.
    look_up = socket.getaddrinfo
    socket.getaddrinfo = lambda _, port, *more, **named: look_up("127.0.0.1", port, *more, **named)
    config = oss.config.load_default()
    config.credentials_provider = oss.credentials.StaticCredentialsProvider(
        job["access_key_id"], job["access_key_secret"]
    )
    config.region, config.account_id, config.disable_ssl = job["region"], job["account_id"], True
    port = urlsplit(job["endpoint"]).port
    config.endpoint = f"http://{job['region']}.oss-vectors.aliyuncs.com:{port}"
    return vectors, vectors.Client(config)


def fetch(job):
    """Get all keys, 100 a request, one request after the other: the SDK has nothing that does."""
    get = getter(job)
    keys = job["keys"]
    batches = [keys[start : start + 100] for start in range(0, len(keys), 100)]

    def call():
        return [vector for batch in batches for vector in get(batch)]

    return call, essence


def fetch_in_threads(job):
    """Get each key by a request of its own, many at once."""
    get = getter(job)
    pool = ThreadPoolExecutor(job["at_once"])

    def call():
        return [found[0] for found in pool.map(lambda key: get([key]), job["keys"])]

    return call, essence


def getter(job):
    vectors, client = make_client(job)

    def get(keys):
        request = vectors.models.GetVectorsRequest(
            bucket=job["bucket"],
            index_name=job["index"],
            keys=keys,
            return_data=job.get("data", True),
            return_metadata=job.get("metadata", True),
        )
        return client.get_vectors(request).vectors

    return get


def write(job):
    vectors, client = make_client(job)
    items = [
        {**one, "data": {"float32": one["data"]}}
        for one in make_vectors(job["count"], job["dimension"], lists=True)
    ]

    def call():
        request = vectors.models.PutVectorsRequest(
            bucket=job["bucket"], index_name=job["index"], vectors=items
        )
        client.put_vectors(request)
        return len(items)

    return call, int


def essence(found):
    return [
        essence_of_vector(one["key"], one.get("data", {}).get("float32"), one.get("metadata"))
        for one in found
    ]


if __name__ == "__main__":
    serve({"fetch": fetch, "fetch in threads": fetch_in_threads, "write": write})
