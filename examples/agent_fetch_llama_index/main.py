# %% [markdown]
# # LlamaIndex: an agent that searches, then fetches by id
#
# An agent that searches sees ids and titles. To read a text, it asks for it by id. The tool spec
# gives it four tools for that: fetch by ids, look at metadata, test for existence, and read on
# before and after a text. Answers name each id, say which do not exist and which may have been
# meant, and stay within a budget of tokens.
#
#     pip install 'oss-vector-retriever[llama-index,emulator]'

# %%
import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any

from llama_index.core.agent.workflow import FunctionAgent, ToolCall, ToolCallResult
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.llms import ChatMessage, MessageRole
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.schema import TextNode
from llama_index.core.tools import BaseTool, FunctionTool
from llama_index.core.vector_stores import VectorStoreQuery

from oss_vector_retriever import Float32Array, OSSVectorClient
from oss_vector_retriever.corpus import load_passages
from oss_vector_retriever.llama_index import OSSVectorStore, OSSVectorToolSpec

# %% [markdown]
# ## Documents
#
# Python's language reference, one node for each topic, with embeddings that a model made
# beforehand.

# %%
nodes = [
    TextNode(
        id_=passage.key,
        text=passage.text,
        metadata={"title": passage.metadata["title"]},
        embedding=Float32Array.from_bytes(passage.data).tolist(),
    )
    for passage in load_passages()
]
client = OSSVectorClient.local()
store = OSSVectorStore(client)
store.add(nodes)
print(f"{len(nodes)} nodes")

# %% [markdown]
# ## Tools
#
# The search is a function of this program. No embedding model is installed here, so it takes the
# stored vector of the topic that it is asked for; in a real program it calls your embedding model.
# `key_prefix` would confine the agent to one tenant's texts; `scan` is how many ids are looked
# through for one that resembles an id which does not exist.

# %%
embedding_of = {node.node_id: node.embedding for node in nodes}


async def search(topic: str) -> str:
    """Find texts by meaning. Returns their ids and titles."""
    query = VectorStoreQuery(query_embedding=embedding_of[topic], similarity_top_k=3)
    found = await store.aquery(query)
    return "\n".join(f"[{node.node_id}] {node.metadata['title']}" for node in found.nodes or [])


tools: list[BaseTool | Callable[..., Any]] = [
    FunctionTool.from_defaults(async_fn=search),
    *OSSVectorToolSpec(client, max_tokens=2000, scan=1000).to_tool_list(),
]
print([tool.metadata.name for tool in tools if isinstance(tool, BaseTool)])

# %% [markdown]
# ## The model
#
# This model is scripted, so that the example runs anywhere with the same result. It decides from
# what the tools really answered: it searches, fetches the hits and an id that does not exist, and
# answers with a sentence that it read. In a real program this is your LLM, and nothing else
# changes.


# %%
def reply(messages: Sequence[ChatMessage], **_: Any) -> ChatMessage:
    answers = [message.content or "" for message in messages if message.role == MessageRole.TOOL]
    if not answers:
        return call("search", topic="with")
    if len(answers) == 1:
        ids = re.findall(r"^\[(.+?)\]", answers[0], re.MULTILINE)
        return call("fetch_by_ids", ids=["context_managers", "context-managers", *ids])
    said = re.findall(r"A \*context manager\*.*?\.", answers[1], re.DOTALL)[0]
    return ChatMessage(role="assistant", content=f"{' '.join(said.split())} [context-managers]")


def call(name: str, **arguments: Any) -> ChatMessage:
    block = ToolCallBlock(tool_call_id=name, tool_name=name, tool_kwargs=arguments)
    return ChatMessage(role="assistant", blocks=[block])


agent = FunctionAgent(
    tools=tools, llm=MockFunctionCallingLLM(response_generator=reply), streaming=False
)

# %% [markdown]
# ## Run
#
# Everything here is awaited, and no call blocks the event loop.


# %%
SHOWN = re.compile(
    r'^(?:\[(?:id: )?"?[\w/-]+"?\].*|Not found.*|\[cut: .*|Omitted; .*)$', re.MULTILINE
)


async def ask(question: str) -> str:
    running = agent.run(question)
    async for event in running.stream_events():
        if isinstance(event, ToolCallResult):
            lines = SHOWN.findall(event.tool_output.content)
            print("\n".join(f" sees  {line}" for line in lines))
        elif isinstance(event, ToolCall):
            print(f"calls  {event.tool_name}({event.tool_kwargs})")
    return str(await running)


answer = asyncio.run(ask("What does the with statement ask of its object?"))
print("  ai  ", answer)

# %%
client.close()
