"""Fetched nodes have no similarity; their score keeps them from being dropped."""

import pytest
from llama_index.core.postprocessor import SimilarityPostprocessor

from oss_vector_retriever.llama_index import OSSVectorRetriever


def ids(found):
    return [one.node_id for one in found]


@pytest.mark.parametrize("cutoff", [0.0, 0.5, 1.0])
def test_a_similarity_cutoff_keeps_the_nodes(retriever, cutoff):
    found = retriever.retrieve("a\nb")
    kept = SimilarityPostprocessor(similarity_cutoff=cutoff).postprocess_nodes(found)
    assert ids(kept) == ["a", "b"]
    assert [one.score for one in kept] == [1.0, 1.0]


@pytest.mark.parametrize("cutoff", [0.0, 0.5])
def test_with_no_score_a_cutoff_drops_them_all(retriever, client, cutoff):
    scoreless = OSSVectorRetriever(client, score=None).retrieve("a\nb")
    assert [one.score for one in scoreless] == [None, None]
    assert SimilarityPostprocessor(similarity_cutoff=cutoff).postprocess_nodes(scoreless) == []
    assert ids(retriever.retrieve("a\nb")) == ids(scoreless)


def test_another_score_can_be_given(client, retriever):
    assert retriever.retrieve("a")[0].score == 1.0
    assert OSSVectorRetriever(client, score=0.25).retrieve("a")[0].score == 0.25
