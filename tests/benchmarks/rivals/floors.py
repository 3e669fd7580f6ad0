"""What no client can do without: the same requests, unsigned, and orjson; floats stay lists."""

import asyncio
import socket
from urllib.parse import urlsplit

import orjson
from worker import essence_of_vector, serve


def post(job):
    import httpx2

    client = httpx2.Client()
    url, headers = f"{job['endpoint']}/?getVectors", {"content-type": "application/json"}

    def call():
        found = []
        for body in bodies(job):
            found += orjson.loads(client.post(url, content=body, headers=headers).content)[
                "vectors"
            ]
        return found

    return call, essence


def post_at_once(job):
    """Post one request a key, many at once on one loop."""
    import httpx2

    limits = httpx2.Limits(max_connections=job["at_once"], max_keepalive_connections=None)
    client = httpx2.AsyncClient(limits=limits, timeout=None)
    url, headers = f"{job['endpoint']}/?getVectors", {"content-type": "application/json"}

    async def one(key):
        reply = await client.post(url, content=request_of(job, [key]), headers=headers)
        return orjson.loads(reply.content)["vectors"][0]

    async def call():
        return await asyncio.gather(*map(one, job["keys"]))

    return call, essence


def raw(job):
    place = urlsplit(job["endpoint"])
    connection = socket.create_connection((place.hostname, place.port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange(body):
        head = b"POST /?getVectors HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(body)
        connection.sendall(head + body)
        reply = connection.recv(65536)
        while b"\r\n\r\n" not in reply:
            reply += connection.recv(65536)
        head, _, rest = reply.partition(b"\r\n\r\n")
        whole = bytearray(int(head.lower().partition(b"content-length:")[2].split()[0]))
        whole[: len(rest)] = rest
        space, place = memoryview(whole), len(rest)
        while place < len(whole):
            place += connection.recv_into(space[place:])
        return orjson.loads(whole)["vectors"]

    def call():
        return [vector for body in bodies(job) for vector in exchange(body)]

    return call, essence


def request_of(job, keys):
    return orjson.dumps(
        {
            "indexName": job["index"],
            "keys": keys,
            "returnData": job.get("data", True),
            "returnMetadata": job.get("metadata", True),
        }
    )


def bodies(job):
    keys = job["keys"]
    return (request_of(job, keys[start : start + 100]) for start in range(0, len(keys), 100))


def essence(found):
    return [
        essence_of_vector(one["key"], one.get("data", {}).get("float32"), one.get("metadata"))
        for one in found
    ]


if __name__ == "__main__":
    serve({"post": post, "post at once": post_at_once, "raw": raw})
