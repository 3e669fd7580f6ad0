"""What the store cannot keep or look for is refused by name, and nothing is written."""

import pytest

pytest.importorskip("langgraph")

from langgraph.store.base import GetOp, PutOp, SearchOp

from oss_vector_retriever import ConfigurationError, InvalidRequestError
from oss_vector_retriever.langgraph import OSSVectorGraphStore

PLACE = ("facts",)


def embed(texts):
    return [[1.0, 2.0, 3.0, float(len(text))] for text in texts]


@pytest.fixture
def store(client):
    return OSSVectorGraphStore(client=client)


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), 1e10, True, "5"])
def test_an_impossible_time_to_live_is_refused(store, operations, ttl):
    with pytest.raises(InvalidRequestError, match="ttl must be a number of minutes above 0"):
        store.put(("a",), "k", {"n": 1}, ttl=ttl)
    assert "putVectors" not in operations


def test_a_time_to_live_needs_a_side_index(client, operations):
    store = OSSVectorGraphStore(client=client, side_index=False)
    with pytest.raises(InvalidRequestError, match="side_index is False"):
        store.put(("a",), "k", {"n": 1}, ttl=5)
    assert "putVectors" not in operations


@pytest.mark.parametrize(
    "config", [{"default_ttl": 0}, {"sweep_interval_minutes": -1}, {"default": 5}]
)
def test_an_impossible_configuration_of_times_to_live_is_refused(client, config):
    with pytest.raises(InvalidRequestError, match=f"{next(iter(config))}"):
        OSSVectorGraphStore(client=client, ttl=config)


@pytest.mark.parametrize("namespace", [("a.b",), ("",), (3,)])
def test_labels_that_would_run_together_are_refused_in_a_batch_too(store, namespace):
    for op in (GetOp(namespace, "k"), PutOp(namespace, "k", {}), SearchOp(namespace)):
        with pytest.raises(InvalidRequestError, match="label"):
            store.batch([op])


def test_an_unknown_operator_is_never_ignored(store):
    store.put(("a",), "k", {"n": 1})
    with pytest.raises(InvalidRequestError, match="unknown operator '\\$regex'"):
        store.search(("a",), filter={"n": {"$regex": "1"}})


def test_a_value_that_json_cannot_hold_is_refused_and_nothing_written(store):
    with pytest.raises(InvalidRequestError):
        store.put(("a",), "k", {"when": object()})
    assert store.get(("a",), "k") is None


@pytest.mark.parametrize(
    "filterable", ["color", ["a b"], ["1"], [f"f{n}" for n in range(8)], [3], [""]]
)
def test_impossible_fields_are_refused(client, filterable):
    with pytest.raises(InvalidRequestError, match="filterable"):
        OSSVectorGraphStore(client=client, filterable=filterable)


def test_dims_are_needed_and_kept_to(client):
    with pytest.raises(ConfigurationError, match='"dims"'):
        OSSVectorGraphStore(client=client, index={"embed": embed})
    with pytest.raises(InvalidRequestError, match="dims must be a whole number"):
        OSSVectorGraphStore(client=client, index={"dims": 0, "embed": embed})
    store = OSSVectorGraphStore(client=client, index={"dims": 3, "embed": embed, "fields": ["t"]})
    with pytest.raises(InvalidRequestError, match="has 4 numbers, and the store was made for 3"):
        store.put(PLACE, "k", {"t": "x"})
    assert store.get(PLACE, "k") is None


@pytest.mark.parametrize("namespace", ["users", b"users", None, 3])
def test_a_lone_label_is_no_namespace(client, namespace):
    with pytest.raises(InvalidRequestError, match="a namespace is a tuple of labels"):
        OSSVectorGraphStore(client=client).batch([PutOp(namespace, "k", {})])


def test_a_namespace_may_come_as_a_list(client):
    store = OSSVectorGraphStore(client=client)
    store.batch([PutOp(["a", "b"], "k", {"n": 1})])
    assert store.get(("a", "b"), "k").value == {"n": 1}


def test_a_namespace_too_deep_to_be_filtered_is_named(client):
    deep = tuple(f"level{n}" for n in range(60))
    with pytest.raises(InvalidRequestError, match=r"namespace 'level0\.level1.*use fewer labels"):
        OSSVectorGraphStore(client=client).put(deep, "k", {"n": 1})


@pytest.mark.parametrize("value", [[1], "text", 3])
def test_a_value_that_is_no_dict_is_refused(client, value):
    with pytest.raises(InvalidRequestError, match="value of 'k' must be a dict"):
        OSSVectorGraphStore(client=client).batch([PutOp(PLACE, "k", value)])


@pytest.mark.parametrize("paths", ["text", b"text", {"text": 1}, [1], 5, True])
async def test_paths_that_are_no_list_of_strings_are_refused(client, operations, paths):
    with pytest.raises(InvalidRequestError, match='"fields" of index must be a list of paths'):
        OSSVectorGraphStore(client=client, index={"dims": 4, "embed": embed, "fields": paths})
    store = OSSVectorGraphStore(client=client, index={"dims": 4, "embed": embed})
    with pytest.raises(InvalidRequestError, match="index must be a list of paths"):
        store.put(("a",), "k", {"text": "t"}, index=paths)
    with pytest.raises(InvalidRequestError, match="index must be a list of paths"):
        await store.aput(("a",), "k", {"text": "t"}, index=paths)
    assert "putVectors" not in operations
    store.put(("a",), "k", {"text": "t"}, index=("text",))
