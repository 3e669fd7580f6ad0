"""Spans of OpenTelemetry, collected by its own SDK: what stands in them, and what is whose parent.

The provider of a process is set once, so each story runs in a process of its own.
"""

import json
import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("opentelemetry.sdk")

COLLECT = """
import asyncio, json, sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from oss_vector_retriever import *

kept = InMemorySpanExporter()
def collect():
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    trace.set_tracer_provider(provider)

def report():
    found = kept.get_finished_spans()
    names = {one.context.span_id: one.name for one in found}
    print(json.dumps([
        {"name": one.name, "kind": one.kind.name, "attributes": dict(one.attributes),
         "parent": one.parent and names[one.parent.span_id], "status": one.status.status_code.name,
         "told": one.status.description,
         "links": [names[link.context.span_id] for link in one.links]}
        for one in found]))
"""


def spans_of(story):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", COLLECT + textwrap.dedent(story)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_fetch_works_while_another_thread_imports_the_api():
    spans = spans_of(
        """
        import types
        whole = sys.modules["opentelemetry.trace"]
        with OSSVectorClient.local(index="notes") as client:
            client.put_vector_index(dimension=2)
            # so it stands there until the import has run to its end
            sys.modules["opentelemetry.trace"] = types.ModuleType("opentelemetry.trace")
            assert client.fetch(["k"]).missing == ("k",)
            sys.modules["opentelemetry.trace"] = whole
        report()
        """
    )
    assert spans == []


def test_a_fetch_is_the_parent_of_its_calls_in_whichever_thread_they_are_made():
    spans = spans_of(
        """
        with OSSVectorClient.local(index="notes") as client:
            client.put_vector_index(dimension=2)
            client.upsert({"key": f"k{n}", "data": [n, 1]} for n in range(250))
            collect()
            with trace.get_tracer("mine").start_as_current_span("answer"):
                client.fetch([f"k{n}" for n in range(300)])
        report()
        """
    )
    calls, fetch, answer = spans[:3], spans[3], spans[4]
    assert answer["name"] == "answer"
    assert (fetch["name"], fetch["kind"], fetch["parent"]) == ("fetch notes", "INTERNAL", "answer")
    assert fetch["attributes"]["db.operation.batch.size"] == 300
    assert sum(call["attributes"].pop("oss_vectors.missing") for call in calls) == 50
    for call in calls:
        assert (call["name"], call["kind"]) == ("GetVectors notes", "CLIENT")
        assert (call["parent"], call["status"]) == ("fetch notes", "UNSET")
        assert call["attributes"] == {
            "db.system.name": "alibabacloud.oss_vectors",
            "db.operation.name": "GetVectors",
            "db.namespace": "development-bucket",
            "db.collection.name": "notes",
            "db.operation.batch.size": 100,
            "server.address": "localhost",
            "server.port": 80,
            "oss_vectors.attempts": 1,
            "oss_vectors.refusals": 0,
        }


def test_a_call_that_several_fetches_share_stands_under_one_and_names_the_others():
    spans = spans_of(
        """
        async def main():
            async with AsyncOSSVectorClient.local(index="notes") as client:
                await client.put_vector_index(dimension=2)
                collect()
                await asyncio.gather(*(client.fetch([f"k{n}"]) for n in range(3)))
        asyncio.run(main())
        report()
        """
    )
    (call,) = (one for one in spans if one["name"] == "GetVectors notes")
    assert (call["parent"], call["links"]) == ("fetch notes", ["fetch notes"] * 2)
    assert len(spans) == 4


def test_what_fails_says_so_by_its_code_and_names_no_key():
    spans = spans_of(
        """
        with OSSVectorClient.local(index="nowhere") as client:
            collect()
            for call in (client.fetch, client.delete_vectors):
                try:
                    call(["secret-key"])
                except NoSuchVectorIndexError:
                    pass
        report()
        """
    )
    assert [one["name"] for one in spans] == [
        "GetVectors nowhere",
        "fetch nowhere",
        "DeleteVectors nowhere",
    ]
    for one in spans:
        assert one["attributes"]["error.type"] == "NoSuchVectorIndex"
        assert one["attributes"]["db.response.status_code"] == "NoSuchVectorIndex"
        assert (one["status"], one["told"]) == ("ERROR", "NoSuchVectorIndex")
    assert "secret-key" not in json.dumps(spans)


def test_writes_of_many_stand_under_what_the_caller_is_in_the_midst_of():
    spans = spans_of(
        """
        with OSSVectorClient.local(index="notes") as client:
            client.put_vector_index(dimension=2)
            collect()
            with trace.get_tracer("mine").start_as_current_span("ingest"):
                client.upsert({"key": f"k{n}", "data": [n, 1]} for n in range(1500))
        report()
        """
    )
    assert [one["parent"] for one in spans if one["name"] == "PutVectors notes"] == ["ingest"] * 3


def test_a_call_that_is_cancelled_ends_its_spans():
    spans = spans_of(
        """
        from oss_vector_retriever import emulator
        from oss_vector_retriever.emulator import faults

        async def main():
            with emulator.Service.in_memory() as service, emulator.Server(service) as server:
                service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
                async with AsyncOSSVectorClient(index="notes", **server.settings) as client:
                    await client.put_vector_index(dimension=2)
                    service.faults.add(faults.Delay(seconds=5, operation="GetVectors"))
                    collect()
                    task = asyncio.create_task(client.fetch([f"k{n}" for n in range(100)]))
                    await asyncio.sleep(0.3)
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
        asyncio.run(main())
        report()
        """
    )
    assert {one["name"] for one in spans} == {"GetVectors notes", "fetch notes"}
    assert {one["status"] for one in spans} == {"ERROR"}


@pytest.mark.parametrize("hook", ["on_start", "on_end"])
def test_a_collector_that_raises_harms_no_call_and_is_warned_of(hook):
    said = spans_of(
        f"""
        import logging
        from opentelemetry.sdk.trace import SpanProcessor

        class Broken(SpanProcessor):
            def {hook}(self, *arguments, **keywords):
                raise RuntimeError("secret")

        warned = []

        class Keep(logging.Handler):
            def emit(self, record):
                warned.append(record.getMessage())

        logging.getLogger("oss_vector_retriever").addHandler(Keep())
        with OSSVectorClient.local(index="notes") as client:
            client.put_vector_index(dimension=2)
            provider = TracerProvider()
            provider.add_span_processor(Broken())
            trace.set_tracer_provider(provider)
            assert client.fetch(["a"]).missing == ("a",)
        print(json.dumps(warned))
        """
    )
    assert said == ["what collects spans raised RuntimeError; the call goes on without"]


def test_nothing_is_loaded_where_nobody_collects():
    story = """
    import sys
    from oss_vector_retriever import OSSVectorClient

    with OSSVectorClient.local() as client:
        client.put_vector_index(dimension=2)
        client.fetch(["a"])
    assert not [name for name in sys.modules if name.startswith("opentelemetry")]
    """
    command = [sys.executable, "-c", textwrap.dedent(story)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
