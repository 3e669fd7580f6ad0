"""What a component refuses of its credentials is in no text and in no frame of an error."""

import pytest
from support.canaries import ID, PASSWORD, SECRET, TOKEN, found_in, our_frames, shown_of

from oss_vector_retriever import langchain, llama_index

PLACE = {"bucket": "examplebucket", "account_id": "1", "region": "cn-hangzhou"}
GOOD = {"access_key_id": ID, "access_key_secret": SECRET, "session_token": TOKEN}
CALLS = {
    langchain.OSSVectorRetriever: lambda component: component.invoke("a"),
    llama_index.OSSVectorRetriever: lambda component: component.retrieve("a"),
    llama_index.OSSVectorStore: lambda component: component.get_nodes(["a"]),
}


@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize(
    "wrong",
    [
        {"access_key_secret": f"{SECRET}\n"},
        {"session_token": f"{TOKEN} "},
        {"access_key_id": None},
        {"access_key_secret": None},
        {"bucket": "X"},
        {"endpoint": f"https://u:{PASSWORD}@oss.example"},
        {"misspelt": "x"},
    ],
    ids=str,
)
def test_what_is_refused_is_in_no_frame(kind, wrong):
    arguments = {**PLACE, **GOOD, "index": "i", **wrong}
    with pytest.raises((ValueError, TypeError)) as refused:
        CALLS[kind](kind(**arguments))
    assert found_in(shown_of(refused.value)) == []
    # pydantic's own validators leave no frame of ours, nor does a wrong call
    elsewhere = kind is langchain.OSSVectorRetriever or "misspelt" in wrong
    assert [*our_frames(refused.value)] or elsewhere
