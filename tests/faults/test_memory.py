"""A reply may be as large as it likes: memory grows by the cap and a little, no more."""

import os
import threading
import time
from pathlib import Path

import pytest
from support import faults
from support.calls import run, settings
from support.fault_server import FaultServer

from oss_vector_retriever.client.errors import OSSVectorError, ResponseError

pytestmark = pytest.mark.usefixtures("library")

MEBIBYTE = 1 << 20
CAP = 32 * MEBIBYTE
MARGIN = 8 * MEBIBYTE
STATM = Path("/proc/self/statm")


def fetched(client):
    return client.fetch(["key-1"])


class Watch:
    """Watch the memory of this process while something happens."""

    def __enter__(self):
        self._over = threading.Event()
        self.least = self.most = self._now()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _now(self):
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def _watch(self):
        while not self._over.wait(0.002):
            self.most = max(self.most, self._now())

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    @property
    def growth(self):
        return self.most - self.least


@pytest.mark.skipif(not STATM.exists(), reason="the system does not tell a process its memory")
@pytest.mark.parametrize("fault", [faults.endless_chunks, faults.gigabyte, faults.gzip_bomb])
def test_memory_stays_within_the_cap(fault, mode, figure):
    with FaultServer(then=faults.proper) as server:
        run(mode, settings(server.endpoint), fetched)  # what is loaded once does not count
    faults.bomb()
    with FaultServer(then=fault) as server, Watch() as watch:
        started = time.monotonic()
        (error,) = run(mode, settings(server.endpoint, max_reply_bytes=CAP), fetched)
        elapsed = time.monotonic() - started
    figure(f"cap 32 MiB, growth {watch.growth / MEBIBYTE:.1f} MiB, {elapsed:.2f} s")
    assert isinstance(error, OSSVectorError)
    assert watch.growth < CAP + MARGIN


def test_a_reply_of_just_the_cap_is_read(mode):
    with FaultServer(then=faults.padded(100_000)) as server:
        options = settings(server.endpoint, max_reply_bytes=100_000)
        (result,) = run(mode, options, fetched)
    assert [vector.key for vector in result] == ["key-1"]


def test_a_reply_one_byte_over_the_cap_is_refused(mode):
    with FaultServer(then=faults.padded(100_001)) as server:
        options = settings(server.endpoint, max_reply_bytes=100_000)
        (error,) = run(mode, options, fetched)
    assert isinstance(error, ResponseError)
    assert "100000 bytes" in str(error)
