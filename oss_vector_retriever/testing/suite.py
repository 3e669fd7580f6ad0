"""`StoreTests`: what the suites share, and the nodes that they write."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Literal
from uuid import NAMESPACE_OID, uuid5

import pytest
from llama_index.core.schema import (
    BaseNode,
    ImageNode,
    IndexNode,
    Node,
    NodeRelationship,
    ObjectType,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.schema import MediaResource as Media

Manner = Literal["blocking", "awaited"]


class Subject:
    """The store under test, as the tests call it.

    Its methods are called by their blocking names, and run as they are or as their awaited twins,
    all of a test on one event loop.

    Args:
        store: the store itself, as `subject.store`.
        runner: the event loop of the awaited methods; None for the blocking ones.
        settle: called after each call, to wait until what was written can be read.
    """

    def __init__(
        self, store: Any, runner: asyncio.Runner | None, settle: Callable[[], None]
    ) -> None:
        self.store = store
        self.is_awaited = runner is not None
        self._runner = runner
        self._settle = settle

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.store, name if self._runner is None else self._awaited_name(name))

        def call(*arguments: Any, **keywords: Any) -> Any:
            result = method(*arguments, **keywords)
            result = result if self._runner is None else self.wait_for(result)
            self._settle()
            return result

        return call

    def wait_for(self, awaitable: Any) -> Any:
        """Return what a coroutine of this store, or of something over it, returns."""
        assert self._runner is not None, "nothing is awaited in a blocking test"

        async def waiting() -> Any:
            return await awaitable

        return self._runner.run(waiting())

    def on(self, other: Any) -> "Subject":
        """Return another store, or something over this one, called in the same manner."""
        return Subject(other, self._runner, self._settle)

    def _awaited_name(self, name: str) -> str:
        # core's two manners of naming the twin of `add`: `async_add` and `aadd`
        return f"async_{name}" if hasattr(self.store, f"async_{name}") else f"a{name}"


class StoreTests:
    """The base of the suites; use one of its subclasses.

    Attributes:
        lacks: what the store cannot do, by the names in `capabilities`, each with the reason.
        capabilities: what a store may lack, and what it means to have it.
    """

    lacks: ClassVar[Mapping[str, str]] = {}
    capabilities: ClassVar[Mapping[str, str]] = {
        "async": "methods that are awaited",
        "reopen": "a second object on the same data, as `reopen` makes it",
    }

    @pytest.fixture
    def store(self) -> Any:
        """Return the store to test, empty: override this."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `store`")

    def reopen(self, store: Any) -> Any:
        """Return a second object on the data of a store, as another process would make one.

        By default `from_dict` makes it of what `to_dict` returns; override it where there is
        another way, and name "reopen" in `lacks` where there is none.
        """
        return type(store).from_dict(store.to_dict())

    def settle(self) -> None:
        """Wait until what was written can be read; called after each call to the store."""

    @pytest.fixture(params=["blocking", "awaited"])
    def manner(self, request: pytest.FixtureRequest) -> Manner:
        """Return how the store's methods are called; each test runs in both manners."""
        manner: Manner = request.param
        if manner == "awaited":
            self.needs("async")
        return manner

    @pytest.fixture
    def subject(self, store: Any, manner: Manner) -> Iterator[Subject]:
        """Return the store, as the tests call it."""
        if manner == "blocking":
            yield Subject(store, None, self.settle)
            return
        with asyncio.Runner() as runner:
            yield Subject(store, runner, self.settle)

    def needs(self, *capabilities: str) -> None:
        """Skip the test that runs if the store lacks what is named."""
        for name in capabilities:
            assert name in self.capabilities, f"no capability is called {name!r}"
            if name in self.lacks:
                pytest.skip(f"no {name}: {self.lacks[name]}")

    def test_what_it_lacks_is_known_and_argued(self) -> None:
        unknown = sorted(self.lacks.keys() - self.capabilities.keys())
        assert not unknown, f"{unknown}: `lacks` may name {sorted(self.capabilities)}"
        assert all(reason.strip() for reason in self.lacks.values()), "each needs a reason"

    def test_an_empty_store_is_no_false_value(self, store: Any) -> None:
        # StorageContext and others write `store or SimpleStore()`: one with a length of 0 is lost
        assert store


def text_node(
    key: str, *, of: str | None = None, text: str | None = None, **fields: Any
) -> TextNode:
    """Return a node; `of` is the id of the document that it is a part of."""
    source = {} if of is None else {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=of)}
    return TextNode(id_=key, text=text or f"text of {key}", relationships=source, **fields)


# Some vector stores take UUIDs alone for ids: the tests speak of nodes by names.
_names: dict[str, str] = {}


def ids(*names: str) -> list[str]:
    """Return the ids of nodes that have a name: the same UUIDs each time."""
    by_id = {str(uuid5(NAMESPACE_OID, name)): name for name in names}
    _names.update(by_id)
    return [str(uuid5(NAMESPACE_OID, name)) for name in names]


def name_of(key: str) -> str:
    """Return the name whose id this is, or else the id as it is."""
    return _names.get(key, key)


def names_of(nodes: Iterable[BaseNode]) -> list[str]:
    """Return the names of nodes."""
    return [name_of(node.node_id) for node in nodes]


def ids_of(nodes: Iterable[BaseNode]) -> list[str]:
    """Return the ids of nodes."""
    return [node.node_id for node in nodes]


ODD_KEYS = ["a b", "a/b", "a:b", "'; drop", '"', "%", "ünïcode 漢字", "None", "0", "k" * 60]

NESTED_METADATA: dict[str, Any] = {
    "text": 'two\nlines, "quoted", ünïcode 漢字 🦊',
    "empty": "",
    "whole": 2**53,
    "negative": -7,
    "fraction": 0.1,
    "yes": True,
    "no": False,
    "none": None,
    "list": ["a", 1, None],
    "nothing": [],
    "dict": {"deep": {"er": [1.5]}},
}
FLAT_METADATA = {name: NESTED_METADATA[name] for name in ("text", "whole", "negative", "fraction")}

_ID = "5f0c1e6a-3c1b-4a1f-9a52-4f1f2e0b7c11"
_RELATED = {
    NodeRelationship.SOURCE: RelatedNodeInfo(
        node_id="document", node_type=ObjectType.DOCUMENT, metadata={"page": 1}, hash="h"
    ),
    NodeRelationship.PREVIOUS: RelatedNodeInfo(node_id="before", node_type=ObjectType.TEXT),
    NodeRelationship.NEXT: RelatedNodeInfo(node_id="after"),
    NodeRelationship.PARENT: RelatedNodeInfo(node_id="parent"),
    NodeRelationship.CHILD: [RelatedNodeInfo(node_id="one"), RelatedNodeInfo(node_id="two")],
}

# By what is to be kept of them: a function that makes a node, since tests change what they write.
# Not `Document`: core itself makes none of what a vector store has kept of one.
NODES: dict[str, Callable[[], BaseNode]] = {
    "relationships": lambda: TextNode(id_=_ID, text="t", relationships=dict(_RELATED)),
    "positions": lambda: TextNode(
        id_=_ID, text="t", start_char_idx=3, end_char_idx=9, mimetype="text/markdown"
    ),
    "templates": lambda: TextNode(
        id_=_ID,
        text="t",
        metadata={"page": 1, "secret": "s"},
        excluded_embed_metadata_keys=["page"],
        excluded_llm_metadata_keys=["secret"],
        metadata_template="{key}={value}",
        metadata_separator="|",
        text_template="{metadata_str}//{content}",
    ),
    "long text": lambda: TextNode(id_=_ID, text="ünïcode 漢字 🦊\n" * 200),
    "IndexNode": lambda: IndexNode(id_=_ID, text="t", index_id="other"),
    "ImageNode": lambda: ImageNode(
        id_=_ID, text="t", image_url="https://example.com/fox.png", image_mimetype="image/png"
    ),
    "ImageNode with data": lambda: ImageNode(id_=_ID, text="", image="aGVsbG8="),
    "Node": lambda: Node(id_=_ID, text_resource=Media(text="t")),
}


def check_same_node(found: BaseNode | None, written: BaseNode) -> None:
    """Compare all that a store has to keep of a node: everything but its embedding."""
    assert type(found) is type(written)
    assert found is not None
    apart = {"embedding"}
    assert found.model_dump(mode="json", exclude=apart) == written.model_dump(
        mode="json", exclude=apart
    )
    assert found.hash == written.hash
