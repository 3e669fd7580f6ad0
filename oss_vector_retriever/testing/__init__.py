"""Conformance suites for LlamaIndex stores, as pytest classes. Needs the extra `testing`.

    from oss_vector_retriever.testing import VectorStoreTests

    class TestMyVectorStore(VectorStoreTests):
        lacks = {"mmr": "the service ranks by distance alone"}

        @pytest.fixture
        def store(self):
            return MyVectorStore()

Each test gets a store of its own, which the fixture makes, and runs twice: with the store's
blocking methods and with its awaited ones. What the tests ask for is what `llama_index.core` says
in its interfaces and documentation, and what its own components rely on.

A store need not be able to do everything: `lacks` names what it cannot do, each with the reason,
and the tests of that are skipped with it. What can be named stands in the class's `capabilities`.
"""

from typing import TYPE_CHECKING

from ..lazy import make_lazy

if TYPE_CHECKING:
    from .document_stores import DocumentStoreTests
    from .key_value_stores import ChatStoreTests, IndexStoreTests, KVStoreTests
    from .suite import StoreTests, Subject
    from .vector_stores import VectorStoreTests

_WHERE = {
    "ChatStoreTests": f"{__name__}.key_value_stores",
    "DocumentStoreTests": f"{__name__}.document_stores",
    "IndexStoreTests": f"{__name__}.key_value_stores",
    "KVStoreTests": f"{__name__}.key_value_stores",
    "StoreTests": f"{__name__}.suite",
    "Subject": f"{__name__}.suite",
    "VectorStoreTests": f"{__name__}.vector_stores",
}

__all__ = [
    "ChatStoreTests",
    "DocumentStoreTests",
    "IndexStoreTests",
    "KVStoreTests",
    "StoreTests",
    "Subject",
    "VectorStoreTests",
]

__getattr__, __dir__ = make_lazy(__name__, _WHERE, extra="testing")
