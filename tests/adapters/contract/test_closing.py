"""A component closes what it has made, and leaves open what it was given."""

import asyncio
import inspect
import pickle

import pytest
from support.embedded import settings

from oss_vector_retriever import AsyncOSSVectorClient, OSSVectorClient
from oss_vector_retriever.cli.commands.policy import CLASSES
from oss_vector_retriever.client.errors import ConfigurationError
from oss_vector_retriever.client.pair import ClientPair

langchain = pytest.importorskip("oss_vector_retriever.langchain")
langgraph = pytest.importorskip("oss_vector_retriever.langgraph")

# each of these reads a record that is not there
USES = {
    "OSSVectorRetriever": (
        langchain.OSSVectorRetriever,
        lambda it: it.invoke("a"),
        lambda it: it.ainvoke("a"),
    ),
    "OSSVectorFetcher": (
        langchain.OSSVectorFetcher,
        lambda it: it.invoke(["a"]),
        lambda it: it.ainvoke(["a"]),
    ),
    "OSSVectorFetchTool": (
        langchain.OSSVectorFetchTool,
        lambda it: it.invoke({"ids": ["a"]}),
        lambda it: it.ainvoke({"ids": ["a"]}),
    ),
    "OSSVectorStore": (
        langchain.OSSVectorStore,
        lambda it: it.get_by_ids(["a"]),
        lambda it: it.aget_by_ids(["a"]),
    ),
    "OSSVectorByteStore": (
        langchain.OSSVectorByteStore,
        lambda it: it.mget(["a"]),
        lambda it: it.amget(["a"]),
    ),
    "OSSVectorGraphStore": (
        langgraph.OSSVectorGraphStore,
        lambda it: it.get(("n",), "a"),
        lambda it: it.aget(("n",), "a"),
    ),
}


@pytest.fixture(params=USES)
def component(request):
    return USES[request.param]


@pytest.fixture
def arguments(endpoint):
    """Give the arguments of a component that makes its client itself."""
    given = settings(endpoint)
    key, secret = given.pop("credentials")
    return {**given, "access_key_id": key, "access_key_secret": secret}


def made(component, arguments):
    kind, *_ = component
    if kind is langgraph.OSSVectorGraphStore:
        arguments = {**arguments, "index_name": arguments["index"]}
        del arguments["index"]
    return kind(**arguments)


ARGUMENTS = {"search_documents": {"query": "a"}, "fetch_documents": {"ids": ["a"]}}
CLOSED = "component is closed"


def test_what_it_has_made_is_closed(component, arguments):
    _, read, aread = component
    with made(component, arguments) as it:
        read(it)
        client = it._clients.blocking()
        client.stats()
    with pytest.raises(ConfigurationError, match="is closed"):
        client.fetch(["a"])
    with pytest.raises(ConfigurationError, match=CLOSED):
        read(it)
    with pytest.raises(ConfigurationError, match=CLOSED):
        asyncio.run(aread(it))
    it.close()


def test_what_it_has_made_is_closed_from_an_event_loop(component, arguments):
    _, read, aread = component

    async def use():
        async with made(component, arguments) as it:
            await aread(it)
            clients = [it._clients.blocking(), it._clients.on_this_loop()]
        with pytest.raises(ConfigurationError, match="is closed"):
            clients[0].fetch(["a"])
        with pytest.raises(ConfigurationError, match="is closed"):
            await clients[1].fetch(["a"])
        with pytest.raises(ConfigurationError, match=CLOSED):
            await aread(it)
        await it.aclose()
        return it

    it = asyncio.run(use())
    with pytest.raises(ConfigurationError, match=CLOSED):
        read(it)


def test_a_client_that_was_given_stays_open(component, client):
    kind, read, aread = component
    with kind(client=client) as it:
        read(it)
        asyncio.run(aread(it))
    assert client.fetch(["a"]).missing == ("a",)
    with pytest.raises(ConfigurationError, match=CLOSED):
        read(it)


def test_an_async_client_that_was_given_stays_open(component, client):
    kind, read, aread = component

    async def use():
        given = client.to_async()
        async with kind(client=given) as it:
            await aread(it)
            await asyncio.to_thread(read, it)
        assert (await given.fetch(["a"])).missing == ("a",)
        await given.close()

    asyncio.run(use())


@pytest.mark.usefixtures("http_environment")
def test_one_that_came_back_from_a_pickle_closes_its_client():
    it = pickle.loads(pickle.dumps(langchain.OSSVectorStore()))
    it.get_by_ids(["a"])
    client = it._clients.blocking()
    it.close()
    with pytest.raises(ConfigurationError, match="is closed"):
        client.fetch(["a"])


def test_the_client_of_another_loop_is_closed_by_it(endpoint):
    pair = ClientPair(None, settings(endpoint))

    async def use():
        client = pair.on_this_loop()
        await client.fetch(["a"])
        await asyncio.to_thread(pair.close)  # as another thread closes it
        await asyncio.sleep(0.05)
        with pytest.raises(ConfigurationError, match="is closed"):
            await client.fetch(["a"])

    asyncio.run(use())


def test_a_toolkit_closes_what_its_tools_use(arguments):
    kit = langchain.OSSVectorToolkit(**arguments, embedding=lambda _: [1.0, 0.0, 0.0, 0.0])
    tools = kit.get_tools()
    calls = [tool.args_schema(**ARGUMENTS[tool.name]).model_dump() for tool in tools]
    for tool, call in zip(tools, calls, strict=True):
        tool.invoke(call)
    kit.close()
    for tool, call in zip(tools, calls, strict=True):
        with pytest.raises(ConfigurationError, match=CLOSED):
            tool.invoke(call)


@pytest.mark.parametrize(
    "name", sorted(name for name in CLASSES if name.startswith("lang"))
)
def test_each_class_that_takes_a_client_can_be_closed(name):
    door, _, class_name = name.partition(".")
    kind = getattr({"langchain": langchain, "langgraph": langgraph}[door], class_name)
    if "client" in inspect.signature(kind).parameters:
        for method in ("close", "aclose", "__enter__", "__aexit__"):
            assert hasattr(kind, method), method


def test_a_pair_closes_no_client_that_it_was_given(endpoint):
    for kind in (OSSVectorClient, AsyncOSSVectorClient):
        given = kind(**settings(endpoint))
        pair = ClientPair(given)
        pair.blocking()
        pair.close()
        given.refuse_if_closed()
        if kind is OSSVectorClient:
            given.close()
        else:
            asyncio.run(given.close())
