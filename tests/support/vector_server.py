"""A small service that speaks GetVectors and makes the most of what its promise leaves open.

It shuffles what it found, answers a repeated key once, leaves out `vectors` when it found nothing,
and keeps count of who asked for what and of how many requests it had in hand at once.
"""

from __future__ import annotations

import json
import random
import ssl
import threading
from collections.abc import Callable, Collection

from support.replies import http, record
from support.socket_server import Connection, SocketServer


class VectorServer(SocketServer):
    """Serve the vectors of some keys; `delay` says how many seconds a request takes."""

    def __init__(
        self,
        keys: Collection[str],
        *,
        delay: Callable[[], float] = lambda: 0.0,
        seed: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._keys = frozenset(keys)
        self._delay = delay
        self._random = random.Random(seed)
        self._in_hand = 0
        self._counting = threading.Lock()
        self.most_in_hand = 0
        self.calls: list[list[str]] = []
        super().__init__(tls=tls)

    def handle(self, connection: Connection) -> None:
        while connection.wait_for_bytes():
            asked = connection.read_request().json()
            with self._counting:
                self.calls.append(asked["keys"])
                self._in_hand += 1
                self.most_in_hand = max(self.most_in_hand, self._in_hand)
            try:
                connection.pause(self._delay())
            finally:
                with self._counting:
                    self._in_hand -= 1
            connection.send(self._answer(asked))

    def _answer(self, asked: dict[str, object]) -> bytes:
        keys = asked["keys"]
        assert isinstance(keys, list)
        if not 1 <= len(keys) <= 100:
            return http(b'{"Error":{"Code":"VectorIndexParameterInvalid"}}', status=400)
        found = [record(key) for key in dict.fromkeys(keys) if key in self._keys]
        for item in found:
            if not asked["returnData"]:
                del item["data"]
            if not asked["returnMetadata"]:
                del item["metadata"]
        with self._counting:
            self._random.shuffle(found)
        return http(json.dumps({"vectors": found} if found else {}).encode())
