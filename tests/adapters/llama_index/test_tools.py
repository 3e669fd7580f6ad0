"""An agent's tools: strings with ids, what is missing, a budget, a tenant's prefix."""

import asyncio
from itertools import pairwise

import pytest
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.utils import get_tokenizer
from support.agent_answers import fenced, whole, without_mark
from support.calls import QUICK

from oss_vector_retriever import InvalidRequestError, OSSVectorClient
from oss_vector_retriever.emulator.faults import ServerError
from oss_vector_retriever.llama_index import OSSVectorToolSpec


@pytest.fixture
def tools(client, put):
    put(["a", "b", "c"])
    return OSSVectorToolSpec(client)


@pytest.fixture
def calls_of(service, monkeypatch):
    """Give a function that returns the names of all calls so far."""
    handle, names = service.handle, []

    def watched(request):
        names.append(request.query)
        return handle(request)

    monkeypatch.setattr(service, "handle", watched)
    return lambda: list(names)


def test_an_answer_names_ids_and_what_is_missing(call, tools, service):
    answer = call(tools, "fetch_by_ids", ["b", "gone", "a", "b"])
    assert without_mark(answer) == whole(
        fenced("b", "text of b"), fenced("a", "text of a"), notes='Not found: "gone"'
    )
    assert service.gets == [["b", "gone", "a"]]


@pytest.mark.parametrize("ids", ["a", '["a"]', "a\n", ("a",), ["a"]])
def test_ids_are_taken_as_models_give_them(call, tools, ids):
    assert without_mark(call(tools, "fetch_by_ids", ids)) == whole(fenced("a", "text of a"))


@pytest.mark.parametrize(
    ("ids", "answer"),
    [([], "No ids were given."), (7, "Error:"), ('["a"', "text of a"), ([7], "7")],
)
def test_what_is_no_list_of_ids_is_answered_and_not_raised(call, tools, ids, answer):
    assert answer in call(tools, "fetch_by_ids", ids)


def test_nothing_found_is_said_and_not_an_empty_string(call, tools):
    for name in ("fetch_by_ids", "get_metadata", "check_exist"):
        assert call(tools, name, ["gone"]) == 'Not found: "gone"'


def test_metadata_comes_without_text_and_without_what_models_may_not_see(call, client, put_records):
    hidden = TextNode(
        id_="n", text="body", metadata={"t": "ü", "s": 1}, excluded_llm_metadata_keys=["s"]
    )
    put_records(hidden)
    answer = call(OSSVectorToolSpec(client), "get_metadata", ["n"])
    assert without_mark(answer) == whole(fenced("n", '{"t": "ü"}'))


def test_existence_fetches_neither_text_nor_data(call, tools):
    assert call(tools, "check_exist", ["a", "gone"]) == 'Not found: "gone"\n\nExists: "a"'


def test_no_embedding_is_fetched_or_shown(call, tools, service, monkeypatch):
    handle, bodies = service.handle, []

    def watched(request):
        bodies.append(request.body)
        return handle(request)

    monkeypatch.setattr(service, "handle", watched)
    for name in ("fetch_by_ids", "get_metadata", "check_exist"):
        assert "-2.0" not in call(tools, name, ["a"])
    assert all(b'"returnData":true' not in body.replace(b" ", b"") for body in bodies)


@pytest.fixture
def story(client, put_records):
    nodes = [TextNode(id_=f"t1/{n}", text=f"part {n}") for n in range(5)]
    nodes.append(TextNode(id_="t2/0", text="another tenant's"))
    for before, after in pairwise(nodes):
        before.relationships[NodeRelationship.NEXT] = RelatedNodeInfo(node_id=after.node_id)
        after.relationships[NodeRelationship.PREVIOUS] = RelatedNodeInfo(node_id=before.node_id)
    put_records(*nodes)
    return OSSVectorToolSpec(client, key_prefix="t1/")


def test_neighbours_come_in_reading_order_one_fetch_a_hop(call, story, service):
    answer = call(story, "get_neighbors", "t1/2", before=1, after=2)
    assert [line for line in answer.split("\n") if "part" in line] == [
        "part 1",
        "part 2",
        "part 3",
        "part 4",
    ]
    assert len(service.gets) == 3


def test_another_tenants_ids_do_not_exist_and_are_not_asked_for(call, story, service):
    for name in ("fetch_by_ids", "get_metadata", "check_exist"):
        assert call(story, name, ["t2/0"]) == 'Not found: "t2/0"'
    assert call(story, "get_neighbors", "t2/0") == 'Not found: "t2/0"'
    assert service.gets == []
    assert "another" not in call(story, "get_neighbors", "t1/4", after=3)
    assert all("t2/0" not in keys for keys in service.gets)


def test_a_missing_neighbour_is_asked_for_once(call, client, story, service):
    client.delete(["t1/3"])
    assert "part 2" in call(story, "get_neighbors", "t1/2", before=0, after=9)
    assert len(service.gets) == 2


@pytest.mark.parametrize("tokens", [10, 40, 100])
def test_an_answer_stays_within_its_budget_and_says_what_was_cut(call, client, put, tokens):
    put({f"k{n}": {"text": "word " * 30} for n in range(5)})
    tools = OSSVectorToolSpec(client, max_tokens=tokens, tokenizer=str.split)
    answer = call(tools, "fetch_by_ids", ["gone", *(f"k{n}" for n in range(5))])
    assert len(answer.split()) <= max(tokens, 12)  # what was not found is always said
    assert answer.startswith('Not found: "gone"\n\n')
    assert 'Omitted; call fetch_by_ids for: "k' in answer


def test_too_many_ids_are_refused_by_name(call, client, put):
    put(["a", "b", "c"])
    answer = call(OSSVectorToolSpec(client, max_ids=2), "fetch_by_ids", ["a", "b", "c"])
    assert answer.startswith('Too many ids at once; ask again for: "c"')
    assert "text of c" not in answer


def test_a_failure_of_the_service_is_an_answer(call, client, put, service):
    put(["a"])
    service.faults.add(ServerError(times=None, status=500))
    hasty = OSSVectorToolSpec(client.with_options(retry=QUICK))
    answer = call(hasty, "fetch_by_ids", ["a"])
    assert answer.startswith("Error: nothing could be fetched. InternalServiceError: ")
    assert answer.endswith("It may succeed later.")


def test_an_index_that_is_not_there_has_no_documents(call):
    with OSSVectorClient.local() as empty:
        spec = OSSVectorToolSpec(empty, scan=10)
        for name in ("fetch_by_ids", "get_metadata", "check_exist", "get_neighbors"):
            assert call(spec, name, "a") == 'Not found: "a"'


def test_the_tools_have_both_manners_and_schemas_that_models_take(tools):
    listed = {tool.metadata.name: tool for tool in tools.to_tool_list()}
    assert sorted(listed) == ["check_exist", "fetch_by_ids", "get_metadata", "get_neighbors"]
    fetch = listed["fetch_by_ids"]
    assert "text of a" in str(fetch.call(ids=["a"]))
    assert "text of a" in str(asyncio.run(fetch.acall(ids=["a"])))
    for tool in listed.values():
        assert len(tool.metadata.description) < 1024
        tool.metadata.to_openai_tool()
        assert "self" not in tool.metadata.get_parameters_dict()["properties"]


def test_one_impossible_id_does_not_hide_the_others(call, tools):
    answer = call(tools, "fetch_by_ids", ["x" * 2000, "a"])
    assert answer.startswith('Not found: "xxx')
    assert without_mark(answer).endswith('x"...\n\n' + whole(fenced("a", "text of a")))
    assert call(tools, "check_exist", ["\ud800", "a"]).endswith('Exists: "a"')


@pytest.mark.parametrize(("before", "after"), [("one", 1), (1, None), (1, float("inf"))])
def test_what_is_no_number_of_neighbours_is_answered_and_not_raised(call, tools, before, after):
    answer = call(tools, "get_neighbors", "a", before=before, after=after)
    assert answer.startswith("Error: ")
    assert "must be a whole number" in answer


def test_near_misses_are_suggested_where_a_scan_is_allowed(call, client, put, calls_of):
    put(["report-2024", "report-2025", "letter-1"])
    plain = OSSVectorToolSpec(client)
    assert call(plain, "fetch_by_ids", ["Report_2024"]) == 'Not found: "Report_2024"'
    assert "listVectors" not in calls_of()
    scanning = OSSVectorToolSpec(client, scan=1000)
    answer = call(scanning, "fetch_by_ids", ["Report_2024"])
    expected = 'Not found: "Report_2024" (did you mean "report-2024"?)'
    assert answer == expected
    assert call(scanning, "check_exist", ["Report_2024"]) == expected
    assert calls_of().count("listVectors") == 2
    several = 'Not found: "report-202" (did you mean "report-2025" or "report-2024"?)'
    assert call(scanning, "fetch_by_ids", ["report-202"]) == several
    assert "letter" not in call(scanning, "fetch_by_ids", ["report-2024"])
    assert calls_of().count("listVectors") == 3


def test_allowed_ids_are_all_there_is_and_are_suggested_without_a_call(call, client, put, calls_of):
    put(["report-1", "report-2"])
    tools = OSSVectorToolSpec(client, allowed_keys=["report-1"], scan=1000)
    shown = call(tools, "fetch_by_ids", ["report-1"])
    assert without_mark(shown) == whole(fenced("report-1", "text of report-1"))
    answer = 'Not found: "report-2" (did you mean "report-1"?)'
    assert call(tools, "fetch_by_ids", ["report-2"]) == answer
    assert call(tools, "get_neighbors", "report-2") == answer
    assert calls_of().count("getVectors") == 1
    assert "listVectors" not in calls_of()


def test_nothing_of_another_tenant_is_suggested(call, client, put):
    put(["t1/report", "t2/report"])
    tools = OSSVectorToolSpec(client, key_prefix="t1/", scan=1000)
    answer = 'Not found: "t2/report" (did you mean "t1/report"?)'
    assert call(tools, "fetch_by_ids", ["t2/report"]) == answer


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"max_tokens": 0}, "max_tokens must be a whole number above 0"),
        ({"max_ids": -1}, "max_ids must be a whole number above 0"),
        ({"scan": -1}, "scan must be a whole number"),
        ({"key_prefix": None}, "key_prefix must be a string"),
        ({"allowed_keys": "a"}, "list of strings"),
    ],
)
def test_an_impossible_setting_is_refused_by_name(client, settings, reason):
    with pytest.raises(InvalidRequestError, match=reason):
        OSSVectorToolSpec(client, **settings)


def test_tokens_are_counted_by_llama_index_unless_something_else_is_given(call, client, put):
    put({"k": {"text": "word " * 1000}})
    answer = call(OSSVectorToolSpec(client, max_tokens=100), "fetch_by_ids", ["k"])
    assert len(get_tokenizer()(answer)) <= 100
    assert len(get_tokenizer()(answer)) > 80
    rest = call(OSSVectorToolSpec(client), "fetch_by_ids", ["k"], start=4990)
    assert without_mark(rest) == whole(fenced("k", "word word "))
