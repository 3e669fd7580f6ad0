"""A service of canned vectors, in a process of its own; it speaks OSS Vectors and S3 Vectors.

    echo '{"dimension": 1024, "delay": 0.02}' | python service.py

The job is JSON on stdin: the dimension, and the seconds that each reply waits. It prints its
address. Of the indexes named in `KINDS`, for how their floats are written, every key exists. Other
indexes hold what is put into them, but for the floats, which are the service's own. Replies are
made of parts that were written beforehand, and so cost both protocols the same. `GET /requests`
tells how many requests came since it was last asked.
"""

import asyncio
import json
import re
import sys
import zlib

import numpy as np
import orjson

ROWS = 500  # different ones; the keys share them
KEPT = 128 << 20  # bytes of whole replies
# the shortest text of a float32, all digits of its double, numbers as of int8, some zeros
KINDS = ("short", "full", "whole", "zeros")
OPERATION = re.compile(rb"(get|put)vector(s|index)|requests")


class Service:
    """Answers to the operations that the benchmarks call."""

    def __init__(self, dimension, delay=0.0):
        self.dimension, self.delay, self.requests = dimension, delay, 0
        self._indexes, self._metadata, self._floats = {}, {}, {}
        self._replies, self._kept = {}, 0

    async def answer(self, reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = head.partition(b"content-length:")[2].split(b"\r\n")[0]
                body = await reader.readexactly(int(length or 0))
                operation = OPERATION.search(head.partition(b"\r\n")[0])[0]
                if operation != b"requests":
                    self.requests += 1
                    await asyncio.sleep(self.delay)
                writer.write(self.reply(operation, body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def reply(self, operation, body):
        if operation == b"getvectors":
            if (whole := self._replies.get(body)) is None:
                whole = http(self.vectors(orjson.loads(body)))
                self._kept += len(whole)
                if self._kept < KEPT:
                    self._replies[body] = whole
            return whole
        if operation == b"putvectors":
            request = orjson.loads(body)
            self._replies, self._kept = {}, 0
            kept = self._metadata.setdefault(request["indexName"], {})
            for vector in request["vectors"]:
                kept[vector["key"]] = orjson.dumps(vector.get("metadata", {}))
            return http(b"{}")
        if operation == b"requests":
            counted, self.requests = self.requests, 0
            return http(b"%d" % counted)
        request = orjson.loads(body)
        name = request["indexName"]
        if operation == b"putvectorindex":
            self._indexes[name] = {**request, "status": "enable", "creationTime": 1_700_000_000}
            return http(b"{}")
        if name not in self._indexes:
            return http(b'{"Error": {"Code": "NoSuchVectorIndex"}}', b"404 Not Found")
        return http(orjson.dumps({"index": self._indexes[name]}))

    def vectors(self, request):
        index, floats = request["indexName"], self.floats(request["indexName"])
        kept = self._metadata.get(index, {})
        parts = []
        for key in request["keys"]:
            metadata = metadata_of(key) if index in KINDS else kept.get(key)
            if metadata is None:
                continue
            part = b'{"key":"' + key.encode() + b'"'
            if request.get("returnData"):
                part += b',"data":{"float32":' + floats[zlib.crc32(key.encode()) % ROWS] + b"}"
            if request.get("returnMetadata"):
                part += b',"metadata":' + metadata
            parts.append(part + b"}")
        return b'{"vectors":[' + b",".join(parts) + b"]}"

    def floats(self, kind):
        if kind not in self._floats:
            rows = np.random.default_rng(7).standard_normal((ROWS, self.dimension), np.float32)
            if kind == "whole":
                rows = np.clip(np.rint(rows * 40), -127, 127)
            elif kind == "zeros":
                rows[:, 5] = 0
            self._floats[kind] = [
                orjson.dumps(
                    row.tolist() if kind in {"full", "whole"} else row,
                    option=orjson.OPT_SERIALIZE_NUMPY,
                )
                for row in rows
            ]
        return self._floats[kind]


def metadata_of(key):
    return orjson.dumps(
        {"title": f"Document {key}", "tags": ["a", "b"], "text": f"This is {key}." + " word" * 200}
    )


def http(body, status=b"200 OK"):
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body


async def serve(job):
    server = await asyncio.start_server(
        Service(**job).answer, "127.0.0.1", 0, backlog=4096, limit=1 << 20
    )
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.stdin.readline())))
