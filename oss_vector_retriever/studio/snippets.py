"""What the page shows, as code to copy: Python, LangChain, LlamaIndex, the command line.

No snippet holds a credential: those come from the environment, where they came from here. Values
are written by `repr` and, in a shell, as ASCII JSON within single quotes: nothing in a key or a
filter ends a string, and what cannot be seen is escaped.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..client.config import ClientConfig
from ..client.endpoint import public_endpoint
from ..emulator import DEVELOPMENT_BUCKET
from ..emulator.http.admission import is_loopback

_PYTHON, _LANGCHAIN, _LLAMA_INDEX, _SHELL = "Python", "LangChain", "LlamaIndex", "Command line"
_ONE_PROCESS = "# One process at a time has the file open: end the page first.\n"


@dataclass(frozen=True, slots=True)
class Snippet:
    """A program, or a line of a shell, that does what the page shows."""

    title: str
    code: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where an index is, as code names it; without credentials.

    Attributes:
        options: the arguments of a client, by name.
        flags: the same for the command line.
        path: the file of an embedded service, which is named in their place.
        bucket: of such a file, where it is another than the one that is always there.
    """

    options: Mapping[str, Any]
    flags: Sequence[str]
    path: str | None = None
    bucket: str | None = None

    @property
    def client(self) -> str:
        """Return the lines that import and make a client."""
        head = "from oss_vector_retriever import OSSVectorClient\n"
        arguments = [f"{name}={value!r}" for name, value in self.options.items()]
        if self.path is None:
            lines = "".join(f"    {one},\n" for one in arguments)
            return f"{head}\nclient = OSSVectorClient(\n{lines})\n"
        other = f".with_options(bucket={self.bucket!r})" if self.bucket else ""
        made = f"client = OSSVectorClient.local({self.path!r}, {arguments[0]}){other}\n"
        return f"{head}\n{_ONE_PROCESS}{made}"

    def command(self, name: str, *words: str) -> str:
        """Return a line of a shell."""
        head = _ONE_PROCESS if self.path else ""
        return head + shlex.join(["oss-vectors", name, *self.flags, *words]) + "\n"


def place_of(
    config: ClientConfig,
    bucket: str,
    index: str,
    path: str | None = None,
    origin: str | None = None,
) -> Place:
    """Return where an index is.

    Args:
        config: of the client that the page uses.
        bucket: the bucket, which need not be that of the client.
        index: the index.
        path: the file, where the client has an embedded service of its own.
        origin: the address of the server that shows the page, where that is the service.
    """
    if path is not None:
        other = None if bucket == DEVELOPMENT_BUCKET else bucket
        flags = ["--local", path, *(["--bucket", bucket] if other else []), "--index-name", index]
        return Place({"index": index}, flags, path, other)
    options: dict[str, Any] = {
        "bucket": bucket,
        "account_id": config.account_id,
        "region": config.region,
    }
    address = origin or str(config.endpoint)
    extra: dict[str, Any] = {}
    if address == str(public_endpoint(config.region, internal=config.internal)):
        extra = {"internal": True} if config.internal else {}
    else:
        extra = {"endpoint": address}
        if address.startswith("http:") and not is_loopback(config.endpoint.host) and not origin:
            extra["allow_http"] = True
    if config.credentials_kind == "chain":
        extra["credentials"] = "chain"
    options = {**options, **extra, "index": index}
    flags = []
    for name, value in options.items():
        flag = "--index-name" if name == "index" else f"--{name.replace('_', '-')}"
        flags += [flag] if value is True else [flag, str(value)]
    return Place(options, flags)


def fetch_snippets(place: Place, keys: Sequence[str], text_key: str | None = None) -> list[Snippet]:
    """Return what fetches records by key."""
    named, own = _list_of(keys), _own_text(text_key)
    return [
        Snippet(
            _PYTHON,
            f"{place.client}\n"
            f"result = client.fetch({named})\n"
            "for vector in result:\n"
            "    print(vector.key, vector.metadata)\n"
            'print("missing:", result.missing)\n',
        ),
        Snippet(
            _LANGCHAIN,
            f"{_with_import(place, 'langchain', 'OSSVectorFetcher')}\n"
            f"fetcher = OSSVectorFetcher(client=client{own})\n"
            f"for document in fetcher.invoke({named}):\n"
            "    print(document.id, document.page_content)\n",
        ),
        Snippet(
            _LLAMA_INDEX,
            f"{_with_import(place, 'llama_index', 'OSSVectorStore')}\n"
            f"store = OSSVectorStore(client{own})\n"
            f"for node in store.get_nodes({named}):\n"
            "    print(node.node_id, node.get_content())\n",
        ),
        Snippet(
            _SHELL,
            place.command(
                "get-vectors", "--keys", _json(list(keys)), "--return-data", "--return-metadata"
            ),
        ),
    ]


def neighbor_snippets(
    place: Place,
    key: str,
    k: int,
    looked_at: int,
    *,
    filter: Mapping[str, Any] | None = None,  # noqa: A002 - the API's own name
    text_key: str | None = None,
) -> list[Snippet]:
    """Return what finds the records nearest to a stored one.

    `looked_at` is of how many of the nearest the service is asked for, where a filter chooses.
    """
    own, narrow = _own_text(text_key), f", filter={dict(filter)!r}" if filter else ""
    return [
        Snippet(
            _PYTHON,
            f"{place.client}\n"
            f"key = {key!r}\n"
            "(vector,) = client.fetch([key])\n"
            f"hits = client.query_vectors(vector.data, top_k={looked_at}{narrow})\n"
            "others = [hit for hit in hits if hit.key != key]  # a vector finds itself\n"
            f"for hit in others[:{k}]:\n"
            "    print(hit.key, hit.distance)\n",
        ),
        Snippet(
            _LANGCHAIN,
            f"{_with_import(place, 'langchain', 'OSSVectorStore')}\n"
            f"store = OSSVectorStore(client=client, create_index=False{own})\n"
            f"for document in store.similarity_search_by_id({key!r}, k={k}{narrow}):\n"
            "    print(document.id, document.page_content)\n",
        ),
        Snippet(
            _LLAMA_INDEX,
            f"{_with_import(place, 'llama_index', 'OSSVectorStore')}"
            "from llama_index.core.vector_stores import VectorStoreQuery\n\n"
            f"key = {key!r}\n"
            "(vector,) = client.fetch([key])\n"
            f"store = OSSVectorStore(client, create_index=False{own})\n"
            "query = VectorStoreQuery(query_embedding=vector.data.tolist(), "
            f"similarity_top_k={k + 1})\n"
            f"result = store.query(query{narrow})\n"
            "# a vector finds itself\n"
            "others = [node for node in result.nodes if node.node_id != key]\n"
            f"for node in others[:{k}]:\n"
            "    print(node.node_id, node.get_content())\n",
        ),
        Snippet(_SHELL, _neighbors_line(place, key, k, looked_at, filter)),
    ]


def _neighbors_line(
    place: Place, key: str, k: int, looked_at: int, narrow: Mapping[str, Any] | None
) -> str:
    # the flag takes a key as it is, and no process can be given a NUL, no reader see a control
    if not key.isprintable():
        return "# The key has characters that a command line cannot carry.\n"
    words = [f"--key={key}", "--top-k", str(looked_at - 1 if narrow else k), "--return-distance"]
    if narrow:  # it chooses among the nearest
        words += ["--filter", _json(narrow), "--output-query", f"vectors[:{k}]"]
    return place.command("query-vectors", *words)


def list_snippets(
    place: Place,
    filter: Mapping[str, Any] | None = None,  # noqa: A002 - as above
    text_key: str | None = None,
) -> list[Snippet]:
    """Return what lists an index, or what passes a filter."""
    own, narrow = _own_text(text_key), f"filter={dict(filter)!r}" if filter else ""
    among = f"{narrow}, " if filter else ""
    return [
        Snippet(
            _PYTHON,
            f"{place.client}\n"
            f"for vector in client.iter_vectors({among}return_metadata=True):\n"
            "    print(vector.key, vector.metadata)\n",
        ),
        Snippet(
            _LANGCHAIN,
            f"{_with_import(place, 'langchain', 'OSSVectorStore')}\n"
            f"store = OSSVectorStore(client=client, create_index=False{own})\n"
            f"for document in store.iter_documents({narrow}):\n"
            "    print(document.id, document.page_content)\n",
        ),
        Snippet(
            _LLAMA_INDEX,
            f"{_with_import(place, 'llama_index', 'OSSVectorReader')}\n"
            f"keys = (vector.key for vector in client.iter_vectors({narrow}))\n"
            f"reader = OSSVectorReader(client=client{own})\n"
            "for document in reader.lazy_load_data(keys):\n"
            "    print(document.doc_id, document.get_content())\n",
        ),
        Snippet(
            _SHELL,
            place.command(
                "list-vectors",
                "--all",
                *(("--filter", _json(filter)) if filter else ()),
                "--return-metadata",
            ),
        ),
    ]


def _with_import(place: Place, package: str, name: str) -> str:
    first, rest = place.client.split("\n", 1)
    return f"{first}\nfrom oss_vector_retriever.{package} import {name}\n{rest}"


def _own_text(text_key: str | None) -> str:
    return f", text_key={text_key!r}" if text_key else ""


def _list_of(keys: Sequence[str]) -> str:
    if len(keys) == 1:
        return repr(list(keys))
    return "".join(["[\n", *(f"    {key!r},\n" for key in keys), "]"])


def _json(value: object) -> str:
    # in ASCII: a shell, a terminal and an argument of a process cannot carry every character
    return json.dumps(value)
