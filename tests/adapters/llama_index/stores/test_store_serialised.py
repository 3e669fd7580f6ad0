"""The store as a component: written, read again, pickled, and without a secret in any of it."""

import copy
import json
import pickle

import pytest
from llama_index.core.schema import BaseComponent, TextNode
from llama_index.core.vector_stores.types import BasePydanticVectorStore
from pydantic import ValidationError
from support.llama_nodes import ids, text_node

from oss_vector_retriever import OSSVectorClient, emulator
from oss_vector_retriever.client.errors import ConfigurationError
from oss_vector_retriever.llama_index import OSSVectorStore

SETTINGS = {
    "index": "nodes",
    "text_key": "body",
    "return_data": False,
    "on_missing": "raise",
    "on_decode_error": "skip",
    "create_index": False,
    "distance_metric": "euclidean",
    "filterable": ("tag",),
    "non_filterable": ("large",),
    "scalars": "native",
    "list_fields": "exact",
    "skip_rows": True,
}


class Marked(TextNode):
    mark: str = "own"

    @classmethod
    def class_name(cls):
        return "Marked"


@pytest.fixture
def store(http_client):
    return OSSVectorStore(http_client, **SETTINGS)


def test_it_is_cores_vector_store_and_has_a_name_of_its_own(store):
    assert isinstance(store, BasePydanticVectorStore)
    assert BaseComponent in type(store).__mro__
    assert store.class_name() == store.to_dict()["class_name"] == "OSSVectorsVectorStore"
    assert store.stores_text


def test_what_is_written_is_read_again(store, http_client):
    written = json.loads(store.to_json())
    assert OSSVectorStore.from_dict(written).to_dict() == store.to_dict()
    again = OSSVectorStore.from_json(store.to_json(), client=http_client)
    assert again.client is http_client
    assert {name: getattr(again, name) for name in SETTINGS} == SETTINGS


def test_a_pickle_takes_its_client_from_the_environment(store, http_environment, http_settings):  # noqa: ARG001
    again = pickle.loads(pickle.dumps(store))
    assert again.to_dict() == store.to_dict()
    assert again.client.config.bucket == http_settings["bucket"]
    again.client.close()


def test_a_pickle_keeps_your_own_node_classes(http_client):
    store = OSSVectorStore(http_client, node_classes=[Marked])
    assert pickle.loads(pickle.dumps(store)).node_classes == (Marked,)


def test_no_form_of_it_holds_a_secret(store):
    secrets = (emulator.DEVELOPMENT_ACCESS_KEY_ID, emulator.DEVELOPMENT_ACCESS_KEY_SECRET)
    forms = [store.to_json(), repr(store), str(store), str(store.model_dump())]
    forms.append(pickle.dumps(store).decode("latin-1"))
    for form in forms:
        assert not any(secret in form for secret in secrets)


def test_a_secret_under_a_wrong_name_is_refused_without_repeating_it(http_client):
    with pytest.raises(TypeError, match="secret_key") as caught:
        OSSVectorStore(http_client, secret_key="hush-hush")
    assert "hush-hush" not in str(caught.value)


def test_a_secret_next_to_a_client_is_refused_without_repeating_it(http_client):
    with pytest.raises(ConfigurationError, match="client= or access_key_secret, not") as caught:
        OSSVectorStore(http_client, access_key_secret="hush-hush")
    assert "hush-hush" not in str(caught.value)


def test_a_copy_shares_the_client(client):
    store = OSSVectorStore(client, index="nodes")
    store.add([text_node("a")])
    assert ids(copy.copy(store).get_nodes(["a"])) == ["a"]


def test_it_can_be_made_before_there_is_any_setting(monkeypatch):
    monkeypatch.delenv("OSS_VECTORS_BUCKET", raising=False)
    store = OSSVectorStore()
    with pytest.raises(ConfigurationError, match="OSS_VECTORS_BUCKET"):
        store.get_nodes(["a"])


def test_your_own_node_classes_come_back(client):
    store = OSSVectorStore(client, index="nodes", node_classes=[Marked])
    store.add([Marked(id_="a", text="x", mark="mine", embedding=[1.0, 0.0])])
    [found] = store.get_nodes(["a"])
    assert (type(found), found.mark) == (Marked, "mine")
    [plain] = OSSVectorStore(client, index="nodes").get_nodes(["a"])
    assert type(plain) is TextNode


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"on_missing": "rise"}, "omit"),
        ({"on_decode_error": "ignore"}, "skip"),
        ({"distance_metric": "dot"}, "cosine"),
        ({"stores_text": False}, "keeps text"),
        ({"is_embedding_query": False}, "by embedding"),
        ({"index": "no-dash"}, "index"),
        ({"filterable": [f"f{n}" for n in range(10)]}, "ref_doc_id"),
        ({"filterable": ["_record"]}, "envelope"),
        ({"filterable": ["x"], "non_filterable": ["x"]}, "both"),
        ({"node_classes": [str]}, "class"),
        ({"client": "http://x"}, "client must be"),
    ],
)
def test_an_impossible_setting_is_refused_when_the_store_is_made(settings, reason):
    with pytest.raises(ValueError, match=reason):
        OSSVectorStore(**settings)


def test_settings_do_not_change_under_a_store(store):
    with pytest.raises(ValidationError, match="frozen"):
        store.return_data = True


def test_eight_fields_can_be_filterable_and_the_callers_list_is_left_alone():
    """S3 #19: the caller's list was appended to."""
    fields, hidden = [f"f{n}" for n in range(8)], ["large"]
    OSSVectorStore(OSSVectorClient.local(), filterable=fields, non_filterable=hidden)
    assert (len(fields), hidden) == (8, ["large"])


@pytest.mark.parametrize(("native", "scalars"), [(True, "native"), (False, "auto")])
def test_what_an_earlier_release_saved_is_read(http_client, native, scalars):
    saved = OSSVectorStore(http_client, filterable=()).to_dict()
    del saved["scalars"], saved["list_fields"]
    again = OSSVectorStore.from_dict({**saved, "native_scalars": native}, client=http_client)
    assert (again.scalars, again.list_fields, again.filterable) == (scalars, "any", ())
    state = again.__getstate__()
    del state["fields"]["scalars"]
    state["fields"]["native_scalars"] = native
    pickled = object.__new__(OSSVectorStore)
    pickled.__setstate__(state)
    assert pickled.scalars == scalars
