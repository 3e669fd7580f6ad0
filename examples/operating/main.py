# %% [markdown]
# # Operating: doctor, explain, limits, costs, throttling
#
# What someone who runs a program on OSS Vectors wants to know: is it set up right, what does the
# service take, what does a call cost, and what happens when it says no.
#
#     pip install 'oss-vector-retriever[langchain,llama-index,emulator,cli]'

# %%
import json
import logging
import os
import runpy
import sys
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from dataclasses import asdict, replace
from io import StringIO
from textwrap import fill, indent
from typing import Any

from oss_vector_retriever import (
    Float32Array,
    InvalidRequestError,
    Limits,
    OSSVectorClient,
    QpsLimitExceededError,
    RetryPolicy,
    emulator,
)
from oss_vector_retriever.corpus import load_passages
from oss_vector_retriever.emulator import faults

# %% [markdown]
# ## A service
#
# The embedded service listens on this machine alone, with the documented rules. With an account,
# leave it out: the client and the command line find the service by the environment.

# %%
service = emulator.Service.in_memory()
service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
server = emulator.Server(service)
server.start()

os.environ.update(
    OSS_ENDPOINT=server.endpoint,
    OSS_ACCESS_KEY_ID=emulator.DEVELOPMENT_ACCESS_KEY_ID,
    OSS_ACCESS_KEY_SECRET=emulator.DEVELOPMENT_ACCESS_KEY_SECRET,
    OSS_REGION=emulator.DEVELOPMENT_REGION,
    OSS_ACCOUNT_ID=emulator.DEVELOPMENT_ACCOUNT_ID,
    OSS_VECTORS_BUCKET=emulator.DEVELOPMENT_BUCKET,
    OSS_VECTORS_INDEX="topics",
)
client = OSSVectorClient()
client.put_vector_index(dimension=384, non_filterable_metadata_keys=["text"], wait=True)
client.upsert(
    {
        "key": passage.key,
        "data": Float32Array.from_bytes(passage.data),
        "metadata": {"text": passage.text, "title": passage.metadata["title"]},
    }
    for passage in load_passages()
)
print(client.get_vector_index().index_name, "is filled")

# %% [markdown]
# ## Doctor
#
# `oss-vectors doctor` goes from the settings to one fetched vector, and says what to do about each
# failure. In a terminal it prints a table; here its JSON is shortened. The command line runs in
# this process, as `python -m oss_vector_retriever` runs it.


# %%
def oss_vectors(*words: str) -> str:
    printed = StringIO()
    sys.argv = ["oss-vectors", *words]
    with redirect_stdout(printed), suppress(SystemExit):
        runpy.run_module("oss_vector_retriever", run_name="__main__")
    return printed.getvalue()


def doctor(*words: str) -> list[dict[str, str]]:
    checks: list[dict[str, str]] = json.loads(
        oss_vectors("doctor", "--output-format", "json", *words)
    )["checks"]
    return checks


checks = doctor()
for check in checks:
    print(f"{check['check']:12} {check['status']}")

# %% [markdown]
# The warning is about the records of LangChain's and LlamaIndex's stores, which this program does
# not write. Each warning and failure comes with what to do:

# %%
for check in [*checks, *doctor("--index-name", "topic")]:
    if "hint" in check:
        print(fill(f"{check['check']} {check['status']}: {check['detail']}"))
        print(indent(fill(check["hint"]), "    "))

# %% [markdown]
# ## Explain
#
# What is stored under a key, what was recognised in it, and what each framework makes of it.

# %%
print(oss_vectors("explain", "lambda", "--neighbors", "2"))

# %% [markdown]
# ## Limits
#
# `Limits` holds what the service takes. Keys, counts and dimensions are checked against it before
# a call, so a mistake there costs nothing.

# %%
for name, value in list(asdict(Limits()).items())[:8]:
    print(f"{name:18} {value:,}")

before = client.stats().calls
try:
    client.put_vectors([{"key": "a" * 2000, "data": [1.0] * 384}])
except InvalidRequestError as error:
    print(fill(str(error)))
print("calls:", client.stats().calls - before)

# %% [markdown]
# An account may have other quotas than those documented:

# %%
with OSSVectorClient(limits=replace(Limits(), top_k=50)) as other:
    try:
        other.query_vectors([0.1] * 384, top_k=60)
    except InvalidRequestError as error:
        print(fill(str(error)))

# %% [markdown]
# ## Costs
#
# The service bills storage, the data that queries scan, and calls. `client.stats()` counts calls,
# of each operation:


# %%
def count(what: str, do: Callable[[], Any]) -> None:
    before = client.stats().operations
    do()
    after = client.stats().operations
    calls = {
        name: stats.calls - (before[name].calls if name in before else 0)
        for name, stats in after.items()
    }
    print(f"{what:34}", ", ".join(f"{number} {name}" for name, number in calls.items() if number))


vectors = [{"key": f"k{number}", "data": [1.0] * 384} for number in range(1000)]
keys = [str(vector["key"]) for vector in vectors]
count("upsert 1,000 vectors", lambda: client.upsert(vectors))
count("fetch 1,000 keys", lambda: client.fetch(keys))
count("fetch one key, named 1,000 times", lambda: client.fetch(["k1"] * 1000))
count("search", lambda: client.query_vectors([1.0] * 384, top_k=100))
count("list all, 1,000 a page", lambda: [*client.iter_vectors(max_results=1000)])
count("delete 1,000", lambda: client.delete(keys))

# %% [markdown]
# ## Throttling
#
# A refusal because of too many requests is tried again, more slowly. Here the next two GetVectors
# calls are refused: the fetch succeeds, and the statistics say what it took. The client also logs
# a warning, which a program sends where its others go; here it is left out.

# %%
logging.getLogger("oss_vector_retriever").setLevel(logging.ERROR)

service.faults.add(faults.Throttle(times=2, operation="GetVectors", retry_after=0))
print("fetched:", [vector.key for vector in client.fetch(["with"])])
stats = client.stats().operations["GetVectors"]
print(f"{stats.refusals} refusals, {stats.retries} retries, {stats.failed} failed")

# %% [markdown]
# A call goes on as long as its timeout allows. A service that still refuses then ends in an error,
# which says what to change; this client does not wait for that, since it tries nothing twice:

# %%
service.faults.add(faults.Throttle(times=None, operation="GetVectors", retry_after=0))
try:
    client.with_options(retry=RetryPolicy(attempts=1)).fetch(["with"])
except QpsLimitExceededError as error:
    print(f"{error.code}: {fill(error.advice)}")

# %% [markdown]
# What is over in a moment needs no operator; what is not, `rate_limit=` and `max_concurrency=` of
# the client prevent.

# %%
client.close()
server.stop()
