"""Ids in the state, documents in front of the model: the real agent loop, a scripted model."""

import json

import pytest
from blockbuster import blockbuster_ctx

pytest.importorskip("langgraph")
pytest.importorskip("langchain")

from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver

from oss_vector_retriever.langchain import OSSVectorFetchTool
from oss_vector_retriever.langgraph import HydrateDocumentsMiddleware


class Scripted(GenericFakeChatModel):
    """Say what the script says, and remember what was asked."""

    asked: list = []  # noqa: RUF012 - pydantic copies it

    def bind_tools(self, tools, **_):  # noqa: ARG002
        return self

    def _generate(self, messages, *args, **kwargs):
        self.asked.append(messages)
        return super()._generate(messages, *args, **kwargs)


def scripted(*replies):
    return Scripted(messages=iter(replies), asked=[])


def fetching(*ids):
    call = {"name": "fetch_documents", "args": {"ids": list(ids)}, "id": "1", "type": "tool_call"}
    return AIMessage(content="", tool_calls=[call])


def system_of(messages):
    return messages[0].text if messages[0].type == "system" else ""


@pytest.fixture
def stocked(client, put):
    put({key: {"text": f"text of {key} " * 50} for key in "abc"})
    return client


async def test_the_model_sees_documents_and_the_state_their_ids(stocked, service):
    model = scripted(AIMessage("one"), AIMessage("two"))
    agent = create_agent(
        model,
        system_prompt="Be brief.",
        middleware=[HydrateDocumentsMiddleware(client=stocked)],
        checkpointer=InMemorySaver(),
    )
    config = {"configurable": {"thread_id": "1"}}
    given = {"messages": [HumanMessage("hello")], "document_ids": ["b", "gone", "a"]}
    state = await agent.ainvoke(given, config)
    shown = system_of(model.asked[0])
    assert shown.startswith("Be brief.")
    assert shown.index('[id: "b"]') < shown.index("text of b") < shown.index('[id: "a"]')
    assert 'Not found: "gone"' in shown
    assert state["document_ids"] == ["b", "gone", "a"]
    assert "text of" not in str(agent.get_state(config).values)
    assert len(service.gets) == 1
    agent.invoke({"messages": [HumanMessage("again")], "document_ids": ["c", "a"]}, config)
    assert agent.get_state(config).values["document_ids"] == ["b", "gone", "a", "c"]
    assert '[id: "c"]' in system_of(model.asked[1])


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("asked", [["a", "gone"], ['[id: "a"]', "gone"], ["a, gone"], "a, gone"])
async def test_what_a_tool_returns_leaves_only_its_ids(stocked, awaited, asked):
    call = {"name": "fetch_documents", "args": {"ids": asked}, "id": "1"}
    model = scripted(AIMessage("", tool_calls=[call]), AIMessage("done"))
    agent = create_agent(
        model,
        tools=[OSSVectorFetchTool(client=stocked)],
        middleware=[HydrateDocumentsMiddleware(client=stocked)],
    )
    given = {"messages": [HumanMessage("read a")]}
    state = await agent.ainvoke(given) if awaited else agent.invoke(given)
    assert state["document_ids"] == ["a"]
    [answer] = [message for message in state["messages"] if isinstance(message, ToolMessage)]
    assert answer.content == 'At hand now, see the system message: "a". Not found: "gone".'
    assert answer.artifact is None
    assert "text of a" in system_of(model.asked[1])
    assert len(json.dumps([message.model_dump() for message in state["messages"]])) < 2000


def test_without_collecting_the_tool_message_stays_whole(stocked):
    model = scripted(fetching("a"), AIMessage("done"))
    agent = create_agent(
        model,
        tools=[OSSVectorFetchTool(client=stocked)],
        middleware=[HydrateDocumentsMiddleware(client=stocked, collect=False)],
    )
    state = agent.invoke({"messages": [HumanMessage("read a")]})
    assert "text of a" in state["messages"][2].content
    assert not state.get("document_ids")


def test_without_ids_there_is_no_call_and_nothing_is_added(stocked, service):
    model = scripted(AIMessage("hi"))
    agent = create_agent(model, middleware=[HydrateDocumentsMiddleware(client=stocked)])
    agent.invoke({"messages": [HumanMessage("hello")]})
    assert system_of(model.asked[0]) == ""
    assert service.gets == []


def test_the_documents_stay_within_their_budget(stocked):
    model = scripted(AIMessage("hi"))
    narrow = HydrateDocumentsMiddleware(client=stocked, max_characters=900, limit=2)
    agent = create_agent(model, middleware=[narrow])
    agent.invoke({"messages": [HumanMessage("hello")], "document_ids": ["a", "b", "c"]})
    shown = system_of(model.asked[0])
    assert len(shown) < 1200
    assert '[id: "a"]' not in shown


async def test_it_never_blocks_the_loop(stocked):
    model = scripted(AIMessage("hi"))
    agent = create_agent(model, middleware=[HydrateDocumentsMiddleware(client=stocked)])
    given = {"messages": [HumanMessage("hello")], "document_ids": ["a"]}
    with blockbuster_ctx():
        await agent.ainvoke(given)
    assert '[id: "a"]' in system_of(model.asked[0])


def test_the_model_can_cite_what_it_is_shown(client, put):
    put({"a": {"text": "body", "title": "A tale", "page": 3, "other": "x"}})
    model = scripted(AIMessage("done"))
    middleware = HydrateDocumentsMiddleware(client=client, metadata_keys=("title", "page"))
    agent = create_agent(model, middleware=[middleware])
    agent.invoke({"messages": [HumanMessage("hello")], "document_ids": ["a"]})
    assert '>{"title": "A tale", "page": 3}<' in system_of(model.asked[0])
