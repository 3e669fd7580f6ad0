# %% [markdown]
# # LangChain: an agent that searches, then fetches by id
#
# An agent that searches sees the beginnings of documents, with their ids. To read one, it asks for
# it by id. The toolkit gives it both tools. Ids that do not exist are named, near misses are
# suggested, long documents are cut with a hint how to read on.
#
#     pip install 'oss-vector-retriever[langchain,emulator]' langchain

# %%
import re
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from oss_vector_retriever import Float32Array, OSSVectorClient
from oss_vector_retriever.corpus import load_passages
from oss_vector_retriever.langchain import OSSVectorStore, OSSVectorToolkit

# %% [markdown]
# ## Documents
#
# Python's language reference, one document for each topic, with embeddings that a model made
# beforehand.

# %%
passages = {passage.key: passage for passage in load_passages()}
vectors = {key: Float32Array.from_bytes(passage.data) for key, passage in passages.items()}

client = OSSVectorClient.local()
OSSVectorStore(client=client).add_texts(
    [passage.text for passage in passages.values()],
    ids=list(passages),
    embeddings=list(vectors.values()),
)
print(f"{len(passages)} documents")

# %% [markdown]
# ## Tools
#
# No embedding model is installed here, so a search takes the stored vector of the topic that it
# names; in a real program `embedding` is your embedding model. `scan` allows the tool to list
# keys in order to suggest near misses. `key_prefix` or `allowed_keys` would confine the agent to
# one tenant's documents.

# %%
toolkit = OSSVectorToolkit(
    client=client, embedding=vectors.__getitem__, k=3, scan=200, max_characters=6_000
)
for tool in toolkit.get_tools():
    print(f"{tool.name}: {tool.description.partition('.')[0]}.")

# %% [markdown]
# ## The model
#
# This model is scripted, so that the example runs anywhere with the same result. It decides from
# what the tools really answered: it searches, fetches the best hit and an id that it only believes
# to exist, follows the tool's suggestion, and answers with a sentence that it read. In a real
# program this is your chat model, and nothing else changes.


# %%
class ScriptedModel(BaseChatModel):
    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, *_: Any, **__: Any) -> BaseChatModel:
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        answers = [str(message.text) for message in messages if isinstance(message, ToolMessage)]
        return ChatResult(generations=[ChatGeneration(message=self._reply(answers))])

    def _reply(self, answers: list[str]) -> AIMessage:
        if not answers:
            return self._call("search_documents", query="with")
        if len(answers) == 1:
            best = re.findall(r'^\[id: "(.+?)"\]', answers[0], re.MULTILINE)[0]
            return self._call("fetch_documents", ids=[best, "context-manager"])
        if "did you mean" in answers[-1]:
            suggested = re.findall(r'did you mean "([\w-]+)"', answers[-1])
            return self._call("fetch_documents", ids=suggested)
        said = re.findall(r"A \*context manager\*.*?\.", answers[-1], re.DOTALL)[0]
        return AIMessage(f"{' '.join(said.split())} [context-managers]")

    def _call(self, name: str, **arguments: Any) -> AIMessage:
        return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": name}])


# %% [markdown]
# ## Run

# %%
agent = create_agent(ScriptedModel(), toolkit.get_tools())
question = {"role": "user", "content": "What does the with statement ask of its object?"}
result = agent.invoke({"messages": [question]})

for message in result["messages"]:
    for call in getattr(message, "tool_calls", ()):
        print(f"      calls  {call['name']}({call['args']})")
    if isinstance(message, ToolMessage):
        shown = re.findall(r"^(?:\[id: .*|Not found: .*|\[cut: .*)$", message.text, re.MULTILINE)
        print("\n".join(f"       sees  {line}" for line in shown))
    elif message.text:
        print(f"{message.type:>11}  {message.text}")

# %% [markdown]
# The model sees text. The program gets the Documents themselves, as the tool message's artifact:

# %%
for message in result["messages"]:
    if isinstance(message, ToolMessage):
        print(message.name, [document.id for document in message.artifact])

# %%
client.close()
