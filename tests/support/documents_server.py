"""A server of the same documents by key, in two protocols: OSS Vectors and S3 Vectors.

    python documents_server.py SECONDS

It prints its address. Replies are made of parts written beforehand, so that both protocols cost it
the same; SECONDS is how long it waits before each reply.
"""

from __future__ import annotations

import asyncio
import json
import sys

from oss_vector_retriever.records import encode

COUNT = 1000
KEYS = [f"doc-{number:04}" for number in range(COUNT)]
DATA = [0.5] * 8


def text_of(key: str) -> str:
    return f"This is the text of {key}. " + "word " * 200


def metadata_of(key: str) -> dict[str, object]:
    return {"source": f"https://example.com/{key}", "page": int(key[-4:]), "tags": ["a", "b"]}


def _oss(key: str) -> bytes:
    vector = encode(key, DATA, text=text_of(key), metadata=metadata_of(key))
    return json.dumps({"key": key, "metadata": vector.metadata}).encode()


def _s3(key: str) -> bytes:
    return json.dumps(
        {"key": key, "metadata": {"_page_content": text_of(key), **metadata_of(key)}}
    ).encode()


class DocumentsServer:
    """Answer GetVectors of either protocol over connections that stay open."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._parts = {"oss": {k: _oss(k) for k in KEYS}, "s3": {k: _s3(k) for k in KEYS}}

    async def serve(self) -> None:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        print(f"http://{host}:{port}", flush=True)  # noqa: T201 - the test reads it
        await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lengths = (
                    x for x in head.lower().split(b"\r\n") if x.startswith(b"content-length")
                )
                body = await reader.readexactly(int(next(lengths).split(b":")[1]))
                await asyncio.sleep(self._seconds)
                writer.write(self._reply("oss" if b"?getVectors" in head else "s3", body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _reply(self, protocol: str, body: bytes) -> bytes:
        parts = self._parts[protocol]
        found = b",".join(parts[key] for key in json.loads(body)["keys"])
        reply = b'{"vectors":[' + found + b"]}"
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(reply)}"
        return head.encode() + b"\r\n\r\n" + reply


if __name__ == "__main__":
    asyncio.run(DocumentsServer(float(sys.argv[1])).serve())
