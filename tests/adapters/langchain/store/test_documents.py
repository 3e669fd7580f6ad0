"""Documents are made past their constructors, and are none the less what these would make."""

from langchain_core.documents import Document

from oss_vector_retriever.langchain.documents import document_from
from oss_vector_retriever.records import Record


def test_a_document_is_what_its_constructor_makes():
    metadata = {"n": [1, {"deep": None}]}
    made = document_from(Record("key", "text", metadata))
    bare = Document(id="key", page_content="text", metadata=metadata)
    assert type(made) is Document
    assert made == bare
    assert made.__dict__ == bare.__dict__
    assert made.model_fields_set == bare.model_fields_set
    assert made.model_dump() == bare.model_dump()
    assert made.to_json() == bare.to_json()
    assert made.model_copy(deep=True) == bare
