"""What an agent sees: ids, text within a budget, what is missing, and nothing of other tenants."""

import copy
import pickle
from datetime import date
from decimal import Decimal
from typing import ClassVar

import pytest
from blockbuster import blockbuster_ctx
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.embeddings import Embeddings
from langchain_core.messages import ToolCall
from langchain_core.tools import ToolException
from pydantic import BaseModel
from support.agent_answers import fenced, read_answer, whole, without_mark

from oss_vector_retriever import (
    InvalidRequestError,
    OSSVectorClient,
    QpsLimitExceededError,
    RetryPolicy,
)
from oss_vector_retriever.emulator.faults import Throttle
from oss_vector_retriever.langchain import (
    OSSVectorByteStore,
    OSSVectorFetchTool,
    OSSVectorSearchTool,
    OSSVectorStore,
    OSSVectorToolkit,
)


class ByName(Embeddings):
    """Embed a query by what it names; documents never."""

    def embed_documents(self, _):
        raise AssertionError("no document is embedded again")

    def embed_query(self, text):
        return {"north": [1.0, 0, 0, 0], "east": [0, 1.0, 0, 0]}[text]


@pytest.fixture
def stocked(client):
    """Give a client of an index with documents of two tenants."""
    places = {
        "a/north": [1.0, 0, 0, 0],
        "a/east": [0, 1.0, 0, 0],
        "b/north": [1.0, 0.01, 0, 0],
        "a/northish": [0.9, 0.3, 0, 0],
    }
    client.put_vectors(
        {"key": key, "data": data, "metadata": {"text": f"text of {key}", "team": key[0]}}
        for key, data in places.items()
    )
    return client


def called(tool, **arguments):
    return tool.invoke(ToolCall(name=tool.name, args=arguments, id="1", type="tool_call"))


async def acalled(tool, **arguments):
    return await tool.ainvoke(ToolCall(name=tool.name, args=arguments, id="1", type="tool_call"))


async def test_ids_are_visible_and_missing_ones_named(stocked, operations):
    tool = OSSVectorFetchTool(client=stocked)
    message = called(tool, ids=["a/east", "gone", "a/north", "a/east"])
    assert without_mark(message.content) == whole(
        fenced("a/east", "text of a/east"),
        fenced("a/north", "text of a/north"),
        notes='Not found: "gone"',
    )
    assert [document.id for document in message.artifact] == ["a/east", "a/north"]
    assert operations == ["getVectors"]
    again = await acalled(tool, ids=["a/east", "gone", "a/north", "a/east"])
    assert without_mark(again.content) == without_mark(message.content)
    assert again.artifact == message.artifact


def test_near_misses_come_from_the_allowed_keys_without_a_call(stocked, operations):
    tool = OSSVectorFetchTool(client=stocked, allowed_keys=["a/east", "a/north", "a/gone-north"])
    content = called(tool, ids=["a/gone-north"]).content
    assert content.startswith('Not found: "a/gone-north" (did you mean ')
    assert "a/north" in content
    assert operations == ["getVectors"]


def test_near_misses_come_from_a_bounded_scan_only_where_asked(stocked, operations):
    silent = OSSVectorFetchTool(client=stocked)
    assert "did you mean" not in called(silent, ids=["A_North"]).content
    assert operations == ["getVectors"]
    asking = OSSVectorFetchTool(client=stocked, scan=100)
    assert 'did you mean "a/north"?' in called(asking, ids=["A_North"]).content
    assert operations[1:] == ["getVectors", "listVectors"]


def test_a_scan_reads_no_more_keys_than_allowed(client, put, operations):
    put([f"key-{number:04}" for number in range(2500)])
    operations.clear()
    called(OSSVectorFetchTool(client=client, scan=1500), ids=["nothing"])
    assert operations == ["getVectors", "listVectors", "listVectors"]


def test_a_scan_does_not_show_other_tenants(stocked):
    tool = OSSVectorFetchTool(client=stocked, scan=100, key_prefix="b/")
    content = called(tool, ids=["b/nort"]).content
    assert 'did you mean "b/north"?' in content
    assert "a/north" not in content


@pytest.mark.parametrize(
    ("limits", "near"),
    [
        ({"key_prefix": "b/"}, ""),
        ({"allowed_keys": ["b/north"]}, ' (did you mean "b/north"?)'),  # known without a call
    ],
)
async def test_other_tenants_ids_do_not_exist_and_make_no_call(stocked, operations, limits, near):
    tool = OSSVectorFetchTool(client=stocked, **limits)
    message = called(tool, ids=["a/north", "a/not-there"])
    assert message.content == f'Not found: "a/north"{near}, "a/not-there"'
    assert message.artifact == []
    assert (await acalled(tool, ids=["a/north"])).artifact == []
    assert operations == []
    assert "text of b/north" in called(tool, ids=["b/north", "a/north"]).content


def test_long_documents_are_cut_and_can_be_read_on(client, put):
    put({"long": {"text": "".join(f"{number:05}" for number in range(2000))}})
    tool = OSSVectorFetchTool(client=client, max_characters_per_document=4000)
    first = called(tool, ids=["long"])
    assert "[cut: characters 0 to 4000 of 10000" in first.content
    assert 'for more call fetch_documents with ids=["long"], start=4000]' in first.content
    assert len(first.artifact[0].page_content) == 10_000
    rest = called(tool, ids=["long"], start=8000).content
    assert without_mark(rest) == whole(fenced("long", first.artifact[0].page_content[8000:]))
    over = called(tool, ids=["long"], start=10_000).content
    assert over == '[id: "long"]\n[nothing more: the document has 10000 characters]'


def test_an_answer_stays_within_its_budget_and_names_what_had_no_room(client, put):
    put({f"k{number}": {"text": f"{number}" * 3000} for number in range(9)})
    tool = OSSVectorFetchTool(client=client, max_characters=7000)
    message = called(tool, ids=[f"k{number}" for number in range(9)])
    assert len(message.content) <= 7000
    left_out = ", ".join(f'"k{number}"' for number in range(3, 9))
    assert message.content.endswith(f"Omitted; call fetch_documents for: {left_out}")
    assert len(message.artifact) == 9


def test_without_a_fetch_tool_no_answer_tells_of_one(client, put):
    put({f"k{number}": {"text": f"{number}" * 3000} for number in range(9)})
    options = {"client": client, "embedding": lambda _: [1.0, 0, 0, 0], "k": 9}
    alone = OSSVectorSearchTool(**options, max_characters=2000)
    content = called(alone, query="q").content
    assert "[cut: characters 0 to 1000 of 3000]" in content
    assert 'Omitted for want of room: "k' in content
    assert "fetch" not in content + alone.description
    search, fetch = OSSVectorToolkit(**options, max_characters=2000).get_tools()
    content = called(search, query="q").content
    assert f"for more call {fetch.name} with ids=" in content
    assert f'Omitted; call {fetch.name} for: "k' in content
    assert fetch.name in search.description


async def test_a_search_shows_ids_and_distances(stocked, operations):
    tool = OSSVectorSearchTool(client=stocked, embedding=ByName())
    message = called(tool, query="north", k=2)
    assert without_mark(message.content).startswith(
        whole(fenced("a/north", "text of a/north", " distance=0.000"))
    )
    assert [document.id for document in message.artifact] == ["a/north", "b/north"]
    assert operations == ["queryVectors"]
    again = await acalled(tool, query="north", k=2)
    assert without_mark(again.content) == without_mark(message.content)


def test_a_search_stays_with_its_tenant(stocked):
    def found(**limits):
        tool = OSSVectorSearchTool(client=stocked, embedding=ByName(), **limits)
        return [document.id for document in called(tool, query="north", k=3).artifact]

    assert found(key_prefix="b/") == ["b/north"]
    assert found(key_prefix="a/") == ["a/north", "a/northish", "a/east"]
    assert found(allowed_keys=["a/east", "a/northish", "gone"]) == ["a/northish", "a/east"]
    assert found(filter={"team": {"$eq": "b"}}) == ["b/north"]
    assert found(filter={"team": "b"}) == ["b/north"]
    both = {"allowed_keys": ["a/east", "b/north"], "filter": {"team": {"$eq": "a"}}}
    assert found(**both) == ["a/east"]


def test_a_search_among_allowed_keys_touches_no_others(stocked, service, operations):
    tool = OSSVectorSearchTool(
        client=stocked, embedding=ByName(), allowed_keys=["a/east", "b/north"]
    )
    assert len(called(tool, query="east").artifact) == 2
    assert operations == ["getVectors", "getVectors"]
    assert {key for keys in service.gets for key in keys} == {"a/east", "b/north"}


def test_a_search_shows_no_rows_of_stores_in_the_same_index(stocked):
    OSSVectorByteStore(client=stocked, key_prefix="bytes:").mset([("secret", b"token")])
    tool = OSSVectorSearchTool(client=stocked, embedding=ByName())
    message = called(tool, query="north", k=100)
    assert len(message.artifact) == 4
    assert "bytes:" not in message.content


@pytest.mark.parametrize("limits", [{}, {"key_prefix": "b/"}])
def test_a_model_of_another_width_than_the_index_is_named(stocked, limits):
    tool = OSSVectorSearchTool(client=stocked, embedding=lambda _: [1.0] * 7, **limits)
    with pytest.raises(InvalidRequestError, match="has dimension 4, and the query has 7"):
        called(tool, query="north")


def test_an_empty_answer_is_still_an_answer(stocked):
    tool = OSSVectorSearchTool(client=stocked, embedding=ByName(), allowed_keys=[])
    message = called(tool, query="east")
    assert (message.content, message.artifact) == ("Nothing was found.", [])


@pytest.mark.parametrize(
    "nothing",
    [
        {"allowed_keys": []},
        {"allowed_keys": [], "filter": {"team": "a"}},
        {"allowed_keys": ["b/x"], "key_prefix": "a/", "filter": {"team": "a"}},
        {"filter": {"team": {"$in": []}}},
    ],
)
def test_what_may_be_nothing_is_nothing_without_a_call(stocked, operations, nothing):
    tool = OSSVectorSearchTool(client=stocked, embedding=ByName(), **nothing)
    assert called(tool, query="north").content == "Nothing was found."
    assert operations == []


def test_a_toolkit_gives_both_with_the_same_limits(stocked):
    toolkit = OSSVectorToolkit(client=stocked, embedding=ByName(), key_prefix="b/", k=1)
    search, fetch = toolkit.get_tools()
    assert [search.name, fetch.name] == ["search_documents", "fetch_documents"]
    assert [document.id for document in called(search, query="north").artifact] == ["b/north"]
    assert 'Not found: "a/north"' in called(fetch, ids=["a/north"]).content
    assert [tool.name for tool in OSSVectorToolkit(client=stocked).get_tools()] == [fetch.name]


@pytest.mark.parametrize("kind", ["client", "http_client"])
async def test_tools_never_block_the_loop(stocked, kind, request):  # noqa: ARG001 - what they find
    client = request.getfixturevalue(kind)
    search, fetch = OSSVectorToolkit(client=client, embedding=ByName(), scan=9).get_tools()
    with blockbuster_ctx():
        assert "text of" in (await acalled(search, query="east")).content
        assert 'Not found: "gone"' in (await acalled(fetch, ids=["gone"])).content


# What goes wrong


@pytest.fixture
def hasty(stocked):
    """Give a client that tries once."""
    return stocked.with_options(retry=RetryPolicy(attempts=1, throttle_base=0.01))


def both_tools(client, **options):
    toolkit = OSSVectorToolkit(client=client, embedding=ByName(), **options)
    search, fetch = toolkit.get_tools()
    return [(search, {"query": "north"}), (fetch, {"ids": ["a/north"]})]


async def test_a_failure_of_the_service_is_a_tool_exception_with_its_cause(hasty, service):
    for tool, arguments in both_tools(hasty):
        service.faults.add(Throttle(times=2))
        for invoked in (lambda t=tool, a=arguments: called(t, **a), None):
            with pytest.raises(ToolException, match="QpsLimitExceededError") as raised:
                invoked() if invoked else await acalled(tool, **arguments)
            assert isinstance(raised.value.__cause__, QpsLimitExceededError)
            assert "\n" not in str(raised.value)


async def test_handle_tool_error_answers_in_place_of_ending_the_run(hasty, service):
    for tool, arguments in both_tools(hasty, handle_tool_error=True):
        service.faults.add(Throttle(times=2))
        for message in (called(tool, **arguments), await acalled(tool, **arguments)):
            assert message.status == "error"
            assert message.content.startswith("Error: nothing could be fetched. QpsLimit")
            assert message.artifact is None
        assert called(tool, **arguments).status == "success"
    [(search, _), _] = both_tools(hasty, handle_tool_error="Not now.")
    service.faults.add(Throttle(times=1))
    assert called(search, query="north").content == "Not now."


def test_what_the_programmer_has_to_mend_is_no_tool_exception(stocked):
    for tool, arguments in both_tools(stocked, handle_tool_error=True, filter={"$bad": 1})[:1]:
        with pytest.raises(InvalidRequestError, match=r"\$bad"):
            called(tool, **arguments)


def test_an_unreadable_document_is_told_where_it_is_to_be_raised(stocked):
    stocked.put_vectors([{"key": "x", "data": [1.0, 0, 0, 0], "metadata": {"_record": "{"}}])
    tool = OSSVectorFetchTool(client=stocked, on_decode_error="raise", handle_tool_error=True)
    assert called(tool, ids=["x"]).content.startswith("Error: ")


def test_the_error_text_of_a_tool_is_in_the_trace(hasty, service):
    class Recorder(BaseCallbackHandler):
        errors: ClassVar[list[BaseException]] = []

        def on_tool_error(self, error, **_):
            self.errors.append(error)

    service.faults.add(Throttle(times=1))
    tool = OSSVectorFetchTool(client=hasty)
    with pytest.raises(ToolException):
        tool.invoke({"ids": ["a"]}, {"callbacks": [Recorder()]})
    assert [type(error) for error in Recorder.errors] == [ToolException]


# How the tools travel


FIELDS = {"team": (str, "Whose it is."), "year": int}


def test_a_search_with_fields_is_copied_and_pickled(stocked, tmp_path):
    client = OSSVectorClient.local(tmp_path / "index").with_options(index="i")
    tool = OSSVectorSearchTool(
        client=client, embedding=ByName(), filter_fields=FIELDS, metadata_keys=("title",)
    )
    for other in (pickle.loads(pickle.dumps(tool)), copy.deepcopy(tool), tool.model_copy()):
        assert list(other.args) == list(tool.args) == ["query", "k", "team", *YEARS]
        assert other.metadata_keys == ("title",)
    client.close()
    search, _ = OSSVectorToolkit(
        client=stocked, embedding=ByName(), filter_fields=FIELDS
    ).get_tools()
    assert [d.id for d in called(search, query="north", team="b").artifact] == ["b/north"]


YEARS = ["year", "year_min", "year_max"]


def test_a_schema_of_ones_own_is_left_alone(stocked):
    class Mine(BaseModel):
        query: str
        team: str

    tool = OSSVectorSearchTool(
        client=stocked, embedding=ByName(), args_schema=Mine, filter_fields=FIELDS
    )
    assert [d.id for d in called(tool, query="north", team="b").artifact] == ["b/north"]
    assert list(tool.args) == ["query", "team"]


def test_typed_values_are_shown_as_texts(client):
    store = OSSVectorStore(client=client)
    typed = {"day": date(2024, 5, 1), "price": Decimal("1.50"), "tags": {"x"}, "at": (1, 2)}
    store.add_texts(["body"], [typed], ids=["a"], embeddings=[[1.0, 0, 0, 0]])
    content = called(
        OSSVectorFetchTool(client=client, metadata_keys=list(typed)), ids=["a"]
    ).content
    [shown] = read_answer(content).documents
    assert shown.about == {"day": "2024-05-01", "price": "1.50", "tags": ["x"], "at": [1, 2]}
