"""What every contender's program does beside its work: read a job, do rounds, print what they took.

A program calls `serve(tasks)`. The first line on its stdin is the job, as JSON, with the name of
the task; `tasks[name](job)` prepares it and returns two functions: one call of the work, which may
be a coroutine function, and what of its result must be the same for all contenders. Then each line
is a command, answered by a line of JSON:

    check           do one call, and tell a digest of its result
    round COUNT     do that many calls, and tell their CPU, wall time and most memory
"""

import asyncio
import gc
import hashlib
import inspect
import json
import struct
import sys
import time
from pathlib import Path

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


def serve(tasks):
    """Answer the commands on stdin."""
    job = json.loads(sys.stdin.readline())
    job["keys"] = [f"doc-{number:06}" for number in range(job.get("keys", 0))]
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever else is printed goes elsewhere
    with asyncio.Runner() as loop:
        job["run"] = loop.run  # for what is prepared by a coroutine
        try:
            call, essence = tasks[job["task"]](job)
        except ImportError as error:
            say(answers, missing=error.name or str(error))
            return
        say(answers, ready=True)
        start = memory("VmRSS")
        for line in sys.stdin:
            command, *count = line.split()
            if command == "check":
                result = loop.run(call()) if inspect.iscoroutinefunction(call) else call()
                text = json.dumps(essence(result), sort_keys=True)
                say(answers, digest=hashlib.sha256(text.encode()).hexdigest())
                continue
            gc.collect()  # what an earlier round left is no work of this one
            if CLEAR.exists():
                CLEAR.write_text("5")  # the most from now on
            if inspect.iscoroutinefunction(call):
                took = loop.run(measure_awaited(call, int(count[0])))
            else:
                took = measure(call, int(count[0]))
            say(answers, **took, memory=memory("VmHWM") - start)


def measure(call, count):
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(count):
        call()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"cpu": cpu / count, "wall": wall / count}


async def measure_awaited(call, count):
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(count):
        await call()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"cpu": cpu / count, "wall": wall / count}


def memory(what):
    """Return bytes that this process has (`VmRSS`), or had at most (`VmHWM`); 0 off Linux."""
    if not STATUS.exists():
        return 0
    return int(STATUS.read_text().partition(what + ":")[2].split()[0]) * 1024


def essence_of_vector(key, numbers, metadata):
    """Return what is the same of a vector whoever fetched it; of its floats, the last."""
    return key, numbers and struct.pack("<f", numbers[-1]).hex(), metadata


def say(answers, **told):
    print(json.dumps(told), file=answers, flush=True)
