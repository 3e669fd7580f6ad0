"""A Document that is filled quickly cannot be told from one that its class has made."""

import copy
import pickle

import pytest
from langchain_core.documents import Document
from langchain_core.load import dumps
from pydantic import TypeAdapter

from oss_vector_retriever.langchain import documents
from oss_vector_retriever.langchain.documents import fill_document, validate_document
from oss_vector_retriever.records import Record

VALUES = [
    ("doc-1", "Some text", {"page": 3, "tags": ["a", "b"], "nested": {"deep": [None, 1.5]}}),
    ("1", "", {}),
    ("ключ", "日本語\n\U0001f600", {"": "", "type": "x", "page_content": "y", "id": 7}),
]
VIEWS = {
    "as it is": lambda document: document,
    "repr": repr,
    "str": str,
    "dict": lambda document: document.model_dump(),
    "order of the dict": lambda document: list(document.model_dump()),
    "dict of what was given": lambda document: document.model_dump(exclude_unset=True),
    "JSON": lambda document: document.model_dump_json(),
    "what was given": lambda document: document.model_fields_set,
    "extra": lambda document: document.model_extra,
    "private": lambda document: document.__pydantic_private__,
    "attributes": lambda document: list(vars(document)),
    "pickled": lambda document: pickle.loads(pickle.dumps(document)),
    "copied": copy.copy,
    "copied deeply": copy.deepcopy,
    "copied with another text": lambda document: document.model_copy(update={"page_content": "z"}),
    "LangChain's own JSON": dumps,
    "checked again": TypeAdapter(Document).validate_python,
    "type": lambda document: document.type,
    "id for LangChain": lambda document: document.lc_id(),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("values", VALUES, ids=["usual", "empty", "odd"])
def test_it_looks_the_same(values, view):
    look = VIEWS[view]
    one, other = (look(make(*copy.deepcopy(values))) for make in (fill_document, validate_document))
    assert one == other


def test_it_can_be_changed_like_any():
    document = fill_document("a", "b", {})
    document.page_content = "c"
    document.metadata["d"] = "e"
    assert document == Document(id="a", page_content="c", metadata={"d": "e"})


def test_documents_of_a_class_that_is_not_known_are_made_by_it(monkeypatch):
    assert documents._is_plain()
    fields = {**Document.model_fields, "new": None}
    monkeypatch.setattr(Document, "__pydantic_fields__", fields)
    assert not documents._is_plain()


def test_they_are_what_a_record_becomes():
    made = documents.document_from(Record("a", "b", {"c": "d"}))
    assert made == Document(id="a", page_content="b", metadata={"c": "d"})
