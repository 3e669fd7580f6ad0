"""What the benchmarks of the emulator share: vectors, clocks, and requests made beforehand."""

import importlib
import statistics
import time

import numpy as np
import orjson
import pytest

DIMENSION = 1024
BATCH = 500


def rival(*names):
    """Return modules, or say that one is missing and skip the test."""
    try:
        return [importlib.import_module(name) for name in names]
    except ImportError as error:
        missing = f"not installed: {error.name}; pip install -e '.[bench]'"
        print(f"\n{missing}")  # noqa: T201 - beside the figures
        pytest.skip(missing)


def made(count):
    """Return normal vectors, shape (count, DIMENSION)."""
    return np.random.default_rng(7).standard_normal((count, DIMENSION), dtype=np.float32)


def items(rows, start=0):
    return [
        {"key": f"k{start + n}", "data": row, "metadata": {"title": "A title", "n": str(n % 10)}}
        for n, row in enumerate(rows)
    ]


def shown(what, **figures):
    text = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in figures.items())
    print(f"\n{what}: {text}")  # noqa: T201 - figures


def rate(put, data, batch=BATCH):
    """Return vectors a second: those of the upper quartile of batches, for machines are shared."""
    times = []
    for start in range(0, len(data), batch):
        part = items(data[start : start + batch], start)
        began = time.perf_counter()
        put(part)
        times.append(time.perf_counter() - began)
    return round(batch / statistics.quantiles(times, n=4)[0])


def milliseconds(call, rounds=30):
    """Return the median time of a call."""
    times = []
    for number in range(rounds):
        began = time.perf_counter()
        call(number)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def cpu_milliseconds(rounds, **calls):
    """Return the median CPU of each call, made in alternation: the machine is not ours alone."""
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            began = time.process_time()
            call()
            times[name].append((time.process_time() - began) * 1000)
    return {name: statistics.median(found) for name, found in times.items()}


class Door:
    """Send requests that are signed and written beforehand: only the service is timed."""

    def __init__(self, caller):
        self.caller = caller

    def request(self, operation, **members):
        body = orjson.dumps({"indexName": "index1", **members}, option=orjson.OPT_SERIALIZE_NUMPY)
        return self.caller.sign("POST", operation, body)

    def send(self, request):
        reply = self.caller.service.handle(request)
        assert reply.ok, reply.body
        return reply

    def put(self, part):
        vectors = [{**item, "data": {"float32": item["data"]}} for item in part]
        return self.request("putVectors", vectors=vectors)

    def get(self, keys):
        return self.request("getVectors", keys=keys, returnData=True, returnMetadata=True)
