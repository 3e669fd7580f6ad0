"""`HydrateDocumentsMiddleware`: ids in the state, documents in front of the model."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, NotRequired

from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
from langchain_core.documents import Document
from langchain_core.messages import SystemMessage, ToolMessage
from langgraph.types import Command

from ..client.context import Context, Flow
from ..client.operations.checks import check_whole
from ..langchain.connection import ConnectedComponent
from ..langchain.documents import document_from
from ..records import DecodePolicy
from ..records.agent_ids import absent_ids, read_ids
from ..records.answers import (
    Answer,
    Budget,
    Passage,
    Tokenizer,
    check_names,
    quote_id,
    show_metadata,
    write_answer,
)
from ..records.lookup import Lookup, fetch_records

if TYPE_CHECKING:  # the first releases of langchain 1 keep it elsewhere
    from langchain.agents.middleware import ToolCallRequest


def merge_ids(earlier: Sequence[str] | None, later: Sequence[str] | None) -> list[str]:
    """Return ids of the state and new ones, each once, in the order they came."""
    return list(dict.fromkeys([*(earlier or ()), *(later or ())]))


class DocumentState(AgentState[Any]):
    """An agent's state and, in `document_ids`, the ids of the documents it works with."""

    document_ids: NotRequired[Annotated[list[str], merge_ids]]


@dataclass(kw_only=True, eq=False, repr=False)
class HydrateDocumentsMiddleware(ConnectedComponent, AgentMiddleware[DocumentState, Any]):
    """Ids in the state, and documents in front of the model: fetched just before each call.

    Checkpoints hold the ids alone: 20 are some 260 bytes, where their texts would be 80 KB each
    time. What is fetched goes into the system message of that one call. Ids that do not exist are
    named to the model. The Documents that a tool returns as its artifact leave their ids in the
    state, and nothing else.

    Args:
        client: a client of either kind; by default one of `bucket`, ... and the environment.
        index: another index than the client's own.
        text_key: where another program keeps text, if not in `text`, `content`, `page_content`.
        limit: show the last so many ids.
        max_characters: of all that is shown in one call; a token is about four of English. None
            sets no bound.
        max_tokens: of all that is shown in one call, counted by `tokenizer`; None sets no bound.
        tokenizer: counts the tokens of a text, or returns them, such as `model.get_num_tokens`.
        max_characters_per_document: of one document's text.
        metadata_keys: fields of metadata that are shown with each document, such as `("title",
            "url", "page")`, so that the model can cite.
        heading: what stands above the documents.
        collect: take the ids of tools' Documents into the state, in place of their texts.
        on_decode_error: of unreadable records: "raise", "skip" (a warning) or "raw" (as stored).

    Raises:
        ConfigurationError: `client` is of another type.
        InvalidRequestError: a setting is impossible.

    Examples:
        >>> from langchain.agents import create_agent
        >>> from langchain_core.language_models import FakeListChatModel
        >>> client = OSSVectorClient.local()
        >>> _ = client.put_vector_index(dimension=2)
        >>> _ = client.upsert([{"key": "tea", "data": [1, 0], "metadata": {"text": "Green tea."}}])
        >>> shown = HydrateDocumentsMiddleware(client=client, limit=5)
        >>> agent = create_agent(FakeListChatModel(responses=["Tea."]), middleware=[shown])
        >>> agent.invoke({"messages": ["What?"], "document_ids": ["tea"]})["messages"][-1].content
        'Tea.'
    """

    state_schema = DocumentState

    index: str | None = None
    text_key: str | None = None
    limit: int = 100
    max_characters: int | None = 40_000
    max_tokens: int | None = None
    tokenizer: Tokenizer | None = None
    max_characters_per_document: int | None = 8_000
    metadata_keys: Sequence[str] = ()
    heading: str = "Documents at hand, each under its id:"
    collect: bool = True
    on_decode_error: DecodePolicy = "skip"

    def __post_init__(self) -> None:
        """Check what was given; nothing is called yet."""
        super().__post_init__()
        self._lookup = Lookup(
            index=self.index, text_key=self.text_key, on_decode_error=self.on_decode_error
        )
        check_whole("limit", self.limit, 1, sys.maxsize)
        self.metadata_keys = check_names(self.metadata_keys)
        self._budget = Budget(
            _check_bound("max_characters", self.max_characters),
            _check_bound("max_tokens", self.max_tokens),
            self.tokenizer,
            _check_bound("max_characters_per_document", self.max_characters_per_document),
        )

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Call the model with the documents whose ids the state holds."""
        if not (ids := self._ids(request.state)):
            return handler(request)
        documents = self._clients.run(self._show_documents, ids)
        return handler(_with_system_text(request, documents))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """Call the model with the documents whose ids the state holds."""
        if not (ids := self._ids(request.state)):
            return await handler(request)
        documents = await self._clients.arun(self._show_documents, ids)
        return await handler(_with_system_text(request, documents))

    def wrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]],
    ) -> ToolMessage | Command[Any]:
        """Run a tool, and keep of the Documents it returns their ids."""
        return self._collect_ids(request, handler(request))

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        """Run a tool, and keep of the Documents it returns their ids."""
        return self._collect_ids(request, await handler(request))

    def _collect_ids(
        self, request: ToolCallRequest, result: ToolMessage | Command[Any]
    ) -> ToolMessage | Command[Any]:
        if not self.collect or not isinstance(result, ToolMessage):
            return result  # a Command is the tool's own word on the state
        if not (ids := _ids_of(result.artifact)):
            return result
        asked = read_ids(request.tool_call["args"].get("ids"))
        absent = absent_ids(map(str, asked), ids) if isinstance(asked, list | tuple) else []
        content = f"At hand now, see the system message: {', '.join(map(quote_id, ids))}."
        if absent:
            content += f" Not found: {', '.join(map(quote_id, absent))}."
        # texts and artifact would be in every checkpoint from here on
        short = result.model_copy(update={"content": content, "artifact": None})
        return Command(update={"messages": [short], "document_ids": ids})

    def _ids(self, state: Mapping[str, Any]) -> list[str]:
        # the last ones: what the agent has asked for lately is what it works with
        return merge_ids(state.get("document_ids"), ())[-self.limit :]

    def _show_documents(self, context: Context, ids: Sequence[str]) -> Flow[str]:
        found = yield from fetch_records(context, self._lookup, ids, document_from)
        answer = Answer(
            [
                Passage(
                    str(document.id),
                    document.page_content,
                    about=show_metadata(document.metadata, self.metadata_keys),
                )
                for document in found.made
            ],
            missing=dict.fromkeys(found.missing, ()),
        )
        return f"{self.heading}\n\n{(yield from write_answer(answer, self._budget))}"


def _check_bound(name: str, bound: int | None) -> int | None:
    return None if bound is None else check_whole(name, bound, 1, sys.maxsize)


def _with_system_text(request: ModelRequest[Any], text: str) -> ModelRequest[Any]:
    """Return a request whose system message ends in a text; the one given stays as it is."""
    if not hasattr(request, "system_message"):  # langchain 1.0 knows the prompt as text alone
        prompt = "\n\n".join(filter(None, [request.system_prompt, text]))
        return replace(request, system_prompt=prompt)  # type: ignore[call-arg]
    system = request.system_message
    content: list[Any] = [] if system is None else list(system.content_blocks)
    blocks = [*content, {"type": "text", "text": text}]
    return request.override(system_message=SystemMessage(content=blocks))


def _ids_of(artifact: object) -> list[str]:
    """Return the ids of an artifact that is a list of Documents which all have one; else none."""
    if not isinstance(artifact, list):
        return []
    ids = [item.id if isinstance(item, Document) else None for item in artifact]
    return [] if None in ids else [str(key) for key in ids]
