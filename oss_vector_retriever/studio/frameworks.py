"""What the adapters make of a stored record, as plain data: LangChain's Document, LlamaIndex' node.

Each is made by the adapter's own mapping. To import LlamaIndex' core takes seconds the first time,
so that nobody calls these on an event loop.
"""

import importlib
from dataclasses import dataclass
from typing import Any

from ..client.errors import OSSVectorError
from ..client.models import Vector
from ..records.decode import read


@dataclass(frozen=True, slots=True)
class Made:
    """What a framework gets of a record.

    Attributes:
        framework: "LangChain" or "LlamaIndex".
        kind: the class that was made, such as `Document` or `TextNode`.
        value: its fields, without the embedding; None where nothing was made.
        embedding: how many values the embedding has that comes with it; 0 for none.
        problem: why nothing was made: the extra that is missing, or what is wrong with the record.
    """

    framework: str
    kind: str
    value: dict[str, Any] | None = None
    embedding: int = 0
    problem: str = ""


def make_document(vector: Vector, text_key: str | None = None) -> Made:
    """Return a stored vector, with its whole value, as LangChain's components return it."""
    made = Made("LangChain", "Document")
    try:
        documents = importlib.import_module("oss_vector_retriever.langchain.documents")
        document = documents.document_from(read(vector, text_key))
    except (ImportError, OSSVectorError) as error:
        return Made(made.framework, made.kind, problem=_problem(error, "langchain"))
    return Made(made.framework, made.kind, document.model_dump(mode="python", exclude={"type"}))


def make_node(vector: Vector, text_key: str | None = None) -> Made:
    """Return a stored vector, with its whole value, as LlamaIndex' components return it."""
    made = Made("LlamaIndex", "node")
    try:
        nodes = importlib.import_module("oss_vector_retriever.llama_index.nodes")
        node = nodes.node_from(read(vector, text_key))
    except (ImportError, OSSVectorError) as error:
        return Made(made.framework, made.kind, problem=_problem(error, "llama-index"))
    value = node.model_dump(mode="json", exclude={"embedding"}, exclude_defaults=True)
    value.pop("class_name", None)
    # an id is never a default, and no node is without text and metadata to a reader
    value = {"id_": node.node_id, "text": node.get_content(), "metadata": node.metadata} | value
    return Made(made.framework, type(node).__name__, value, len(node.embedding or ()))


def _problem(error: Exception, extra: str) -> str:
    if isinstance(error, OSSVectorError):
        return str(error)
    name = getattr(error, "name", None) or str(error)
    return f'{name} is not installed: pip install "oss-vector-retriever[{extra}]"'
