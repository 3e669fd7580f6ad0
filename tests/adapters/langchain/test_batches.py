"""Many retrievals in few calls, counted at the service; each with its own run, result and error."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from langchain_core.callbacks import BaseCallbackHandler

from oss_vector_retriever import InvalidRequestError, MissingKeysError, OSSVectorClient
from oss_vector_retriever.langchain import OSSVectorFetcher, OSSVectorRetriever

KEYS = [f"k{number}" for number in range(200)]


@pytest.fixture
def many(client, put):
    put(KEYS)
    return client


def retriever_of(client, **options):
    return OSSVectorRetriever(client=client, **options)


def ids(answers):
    return [[document.id for document in answer] for answer in answers]


@pytest.mark.parametrize("coalesce", [True, False])
def test_a_batch_of_200_single_keys_is_two_calls(many, service, coalesce):
    retriever = retriever_of(many.with_options(coalesce=coalesce))
    assert ids(retriever.batch(KEYS)) == [[key] for key in KEYS]
    assert sorted(map(len, service.gets)) == [100, 100]


async def test_an_async_batch_of_200_single_keys_is_two_calls(many, service):
    answers = await retriever_of(many).abatch(KEYS, {"max_concurrency": 3})
    assert ids(answers) == [[key] for key in KEYS]
    assert len(service.gets) == 2


async def test_200_concurrent_invocations_are_two_calls(many, service):
    retriever = retriever_of(many)
    answers = await asyncio.gather(*(retriever.ainvoke(key) for key in KEYS))
    assert ids(answers) == [[key] for key in KEYS]
    assert len(service.gets) == 2


def test_200_threads_that_each_invoke_share_calls_while_the_service_is_busy(
    many, service, monkeypatch
):
    retriever = retriever_of(many)
    retriever.invoke("k0")  # LangChain loads what it needs at the first run
    service.gets.clear()
    free, handle = threading.Event(), service.handle

    def busy(request):
        free.wait(30)
        return handle(request)

    monkeypatch.setattr(service, "handle", busy)
    with ThreadPoolExecutor(len(KEYS)) as pool:
        answers = [pool.submit(retriever.invoke, key) for key in KEYS]
        waiting = many._runner._coalescer._queue
        last = time.monotonic() + 30
        while len(waiting) < len(KEYS) - 8 and time.monotonic() < last:
            time.sleep(0.01)
        free.set()
        assert ids(answer.result() for answer in answers) == [[key] for key in KEYS]
    assert len(service.gets) == 8 + 2


async def test_a_fetchers_batches_are_merged_too(many, service):
    fetcher = OSSVectorFetcher(client=many)
    lists = [[key, "gone"] for key in KEYS]
    assert ids(fetcher.batch(lists)) == [[key] for key in KEYS]
    assert ids(await fetcher.abatch(lists)) == [[key] for key in KEYS]
    assert len(service.gets) == 6  # 201 distinct keys, twice


def test_inputs_of_many_keys_and_few_stand_side_by_side(many, service):
    queries = ["\n".join(KEYS), "k1", "\n".join(KEYS[:150]), *KEYS[:40]] * 4
    answers = ids(retriever_of(many).batch(queries))
    assert answers == [query.split("\n") for query in queries]
    assert len(service.gets) == 4 * (2 + 2) + 1


def test_the_documents_of_a_batch_share_nothing(many):
    [first], [second] = retriever_of(many).batch(["k1", "k1"])
    first.metadata["of"] = "changed"
    assert second.metadata == {"of": "k1"}


def test_the_first_error_is_raised_in_its_place(many):
    with pytest.raises(InvalidRequestError, match='begins with "\\["'):
        retriever_of(many).batch(["k1", "[broken", "k2"])


async def test_errors_are_returned_in_their_places_where_asked(many, service):
    retriever = retriever_of(many, on_missing="raise")
    queries = ["k1", "[broken", "gone", "k2"]
    answers = retriever.batch(queries, return_exceptions=True)
    assert [type(answer) for answer in answers] == [
        list,
        InvalidRequestError,
        MissingKeysError,
        list,
    ]
    assert len(service.gets) == 1
    answers = await retriever.abatch(queries, return_exceptions=True)
    assert [type(answer) for answer in answers] == [
        list,
        InvalidRequestError,
        MissingKeysError,
        list,
    ]


def test_arguments_of_a_batch_reach_each_input(many):
    assert ids(retriever_of(many).batch(["k1\nk2", "k3"], k=1)) == [["k1"], ["k3"]]
    with pytest.raises(TypeError, match="top_k"):
        retriever_of(many).batch(["k1"], top_k=1)


async def test_an_empty_batch_is_no_call(many, service):
    assert retriever_of(many).batch([]) == []
    assert await OSSVectorFetcher(client=many).abatch([]) == []
    assert service.gets == []


async def test_each_input_has_a_run_of_its_own(many):
    class Recorder(BaseCallbackHandler):
        def __init__(self):
            self.seen = []

        def on_retriever_start(self, _serialized, query, *, tags, **_):
            self.seen.append((query, tags))

        def on_retriever_error(self, error, **_):
            self.seen.append(type(error))

    recorder = Recorder()
    configs = [{"callbacks": [recorder], "tags": [tag]} for tag in "xyz"]
    retriever_of(many).batch(["k1", "[", "k2"], configs, return_exceptions=True)
    assert recorder.seen == [("k1", ["x"]), ("[", ["y"]), InvalidRequestError, ("k2", ["z"])]


class Gauge:
    """Count how many calls are on their way at once."""

    def __init__(self, transport):
        self.transport, self.now, self.most, self.lock = transport, 0, 0, threading.Lock()
        self.kept = transport.send, transport.send_async

    @contextmanager
    def counted(self):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            yield
        finally:
            with self.lock:
                self.now -= 1

    def send(self, request, seconds):
        with self.counted():
            time.sleep(0.02)
            return self.kept[0](request, seconds)

    async def send_async(self, request, seconds):
        with self.counted():
            await asyncio.sleep(0.02)
            return await self.kept[1](request, seconds)


@pytest.fixture
def gauge(many, monkeypatch):
    transport = many._local.transport
    gauge = Gauge(transport)
    monkeypatch.setattr(transport, "send", gauge.send)
    monkeypatch.setattr(transport, "send_async", gauge.send_async)
    return gauge


LONG = "\n".join([*KEYS, *(f"none{number}" for number in range(500))])


@pytest.mark.parametrize("most", [1, 2])
async def test_max_concurrency_of_the_run_bounds_the_calls_in_flight(many, gauge, most):
    config = {"max_concurrency": most}
    retriever, fetcher = retriever_of(many), OSSVectorFetcher(client=many)
    retriever.invoke(LONG, config)
    await retriever.ainvoke(LONG, config)
    fetcher.invoke(LONG.split("\n"), config)
    await fetcher.ainvoke(LONG.split("\n"), config)
    retriever.batch([LONG, *KEYS], config)
    await retriever.abatch([LONG, *KEYS], config)
    assert gauge.most == most


async def test_without_it_the_clients_own_bound_holds(many, gauge):
    await retriever_of(many).ainvoke(LONG)
    assert gauge.most == 7  # all of them: 700 keys
    retriever_of(many).invoke(LONG)
    assert gauge.most == 7


def test_more_long_inputs_than_the_client_has_threads_do_not_wait_for_each_other(many):
    queries = [LONG] * 20
    assert ids(retriever_of(many).batch(queries)) == [KEYS] * 20


def test_a_service_that_fails_fails_each_input(many, service, monkeypatch):
    monkeypatch.setattr(service, "handle", lambda _: (_ for _ in ()).throw(RuntimeError("down")))
    answers = retriever_of(many).batch(["k1", "k2"], return_exceptions=True)
    assert len(answers) == 2
    assert all(isinstance(answer, Exception) for answer in answers)


def test_a_batch_of_an_index_that_is_not_there_says_so_for_each():
    with OSSVectorClient.local() as client:
        answers = retriever_of(client).batch(["k1", "k2"], return_exceptions=True)
    assert [type(answer).__name__ for answer in answers] == ["NoSuchVectorIndexError"] * 2
    assert answers[0] is not answers[1]


async def test_a_cancelled_batch_leaves_a_retriever_that_answers(many):
    retriever = retriever_of(many)
    for delay in (0, 0.001, 0.005):
        task = asyncio.create_task(retriever.abatch([LONG, *KEYS], {"max_concurrency": 2}))
        await asyncio.sleep(delay)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert ids(await retriever.abatch(["k1", "k2"])) == [["k1"], ["k2"]]


@pytest.mark.parametrize("most", [None, 1])
async def test_one_call_that_fails_fails_only_the_inputs_that_wanted_its_keys(many, most):
    too_long = "\n".join([*KEYS[:120], "x" * 2000])
    retriever = retriever_of(many)
    config = {} if most is None else {"max_concurrency": most}
    answers = retriever.batch([too_long, "k1"], config, return_exceptions=True)
    assert isinstance(answers[0], InvalidRequestError)
    assert [document.id for document in answers[1]] == ["k1"]
    again = await retriever.abatch([too_long, "k1"], config, return_exceptions=True)
    assert isinstance(again[0], InvalidRequestError)
    assert again[1] == answers[1]
