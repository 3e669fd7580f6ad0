"""What is saved reads where it read, in whatever environment; or it says what it needs."""

import base64
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.schema import BaseComponent, NodeWithScore, TextNode
from support.llama_calls import Fixed, things

from oss_vector_retriever import OSSVectorClient, emulator, llama_index
from oss_vector_retriever.client.errors import ConfigurationError

HERE, ELSEWHERE = "vectors", "elsewhere"
OTHER_BUCKET = "otherbucket"
WITHOUT_CLIENT = {
    "ConnectionOptions",
    "DocumentStream",
    "IncompleteSearchEvent",
    "KeyQueryBundle",
    "MissingKeysEvent",
    "NodeWithProvenance",
    "QueryOptions",
}
TESTS = Path(__file__).parents[2]
REVIVE = """
import base64, json, pickle, sys
from llama_index.core.embeddings import MockEmbedding
from oss_vector_retriever import llama_index
from support.llama_calls import blocking

def revived(case):
    if case["pickled"]:
        return pickle.loads(base64.b64decode(case["pickled"]))
    kind = getattr(llama_index, case["name"])
    models = {"embed_model": MockEmbedding(embed_dim=4)} if "Reuse" in case["name"] else {}
    call = pickle.loads(base64.b64decode(case["call"]))
    return kind.from_dict(case["written"], **models), *call

def say(case):
    try:
        answer = blocking(revived(case))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    # a tool answers with what went wrong
    return answer if str(answer).startswith("Error") else "read"

print(json.dumps([{case["name"]: say(case) for case in cases} for cases in json.load(sys.stdin)]))
"""


class WatchfulService(emulator.Service):
    """The service, with the bucket and the index of each request for records."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.reads = []

    def handle(self, request):
        if request.query in {"getVectors", "queryVectors", "listVectors"}:
            bucket = request.path.strip("/").partition("/")[0]
            self.reads.append((bucket, json.loads(request.body)["indexName"]))
        return super().handle(request)


@pytest.fixture
def service(behaviour):
    with WatchfulService.in_memory(behaviour=behaviour) as service:
        for bucket in (emulator.DEVELOPMENT_BUCKET, OTHER_BUCKET):
            service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, bucket)
        yield service


@pytest.fixture
def saved(http_environment, put, http_settings):  # noqa: ARG001 - the environment's credentials
    """Give a client with the environment's credentials, over the record `a`."""
    put(["a"])
    with OSSVectorClient(bucket=http_settings["bucket"], index=HERE) as client:
        yield client


def encoded(thing):
    return base64.b64encode(pickle.dumps(thing)).decode()


def pickled_cases(client):
    return [{"name": name, "pickled": encoded(case)} for name, case in things(client).items()]


def written_cases(client):
    return [
        {"name": name, "pickled": None, "written": thing.to_dict(), "call": encoded(call)}
        for name, (thing, *call) in things(client).items()
        if isinstance(thing, BaseComponent)
    ]


def revive(*cases):
    """Revive components in a process whose environment names another bucket and index."""
    names = {"OSS_VECTORS_BUCKET": OTHER_BUCKET, "OSS_VECTORS_INDEX": ELSEWHERE}
    done = subprocess.run(
        [sys.executable, "-c", REVIVE],
        input=json.dumps(cases),
        env={**os.environ, **names, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return json.loads(done.stdout.splitlines()[-1])


# Both forms are revived in one process: to load the framework takes longer than all the rest.


def test_every_component_reads_in_another_process_what_it_read_here(saved, service):
    with_client = {*llama_index.__all__} - WITHOUT_CLIENT
    components = {n for n in with_client if issubclass(getattr(llama_index, n), BaseComponent)}
    service.reads.clear()
    pickled, written = revive(pickled_cases(saved), written_cases(saved))
    assert pickled == dict.fromkeys(with_client, "read")
    assert written == dict.fromkeys(components, "read")
    # some read what stands beside the index
    both = {(emulator.DEVELOPMENT_BUCKET, index) for index in (HERE, f"{HERE}side")}
    assert set(service.reads) == both
    assert len(service.reads) >= len(pickled) + len(written)


def test_credentials_that_were_given_do_not_travel_and_are_asked_for(http_client, put, service):
    put(["a"])
    made = [pickled_cases(http_client), written_cases(http_client)]
    assert emulator.DEVELOPMENT_ACCESS_KEY_SECRET not in json.dumps(made)
    for case in [*made[0], *made[1]]:
        for text in (case["pickled"], case.get("call")):
            decoded = base64.b64decode(text or "")
            assert emulator.DEVELOPMENT_ACCESS_KEY_SECRET.encode() not in decoded
    service.reads.clear()
    for said in revive(*made):
        assert said
        assert [name for name, text in said.items() if "credentials=" not in text] == []
    assert service.reads == []


def test_a_dict_takes_credentials_and_reads_where_it_read(http_client, put):
    put(["a"])
    written = llama_index.OSSVectorReader(client=http_client).to_dict()
    again = llama_index.OSSVectorReader.from_dict(
        written,
        access_key_id=emulator.DEVELOPMENT_ACCESS_KEY_ID,
        access_key_secret=emulator.DEVELOPMENT_ACCESS_KEY_SECRET,
    )
    assert again.load_data(["a"])[0].text == "text of a"


def test_a_pickle_takes_credentials_and_reads_where_it_read(http_client, put):
    put(["a"])
    again = pickle.loads(pickle.dumps(llama_index.OSSVectorReader(client=http_client)))
    again.access_key_id = emulator.DEVELOPMENT_ACCESS_KEY_ID
    again.access_key_secret = emulator.DEVELOPMENT_ACCESS_KEY_SECRET
    assert again.load_data(["a"])[0].text == "text of a"


def test_every_component_that_was_pickled_takes_credentials_as_its_error_says(
    call, http_client, http_settings, put
):
    put(["a"])
    for name, case in things(http_client).items():
        thing, method, arguments = pickle.loads(pickle.dumps(case))
        component = getattr(thing, "mapping", thing)  # of a retriever over a mapping
        with pytest.raises(ConfigurationError, match=r"assign a client that has them.*\.client"):
            (component.client or OSSVectorClient.from_settings(http_client.settings)).fetch(["a"])
        keys = http_settings["credentials"]
        component.client = (component.client or http_client).with_options(credentials=keys)
        assert "saved without" not in str(call(thing, method, *arguments)), name


def test_what_was_learnt_of_one_clients_index_is_not_taken_for_anothers(http_client, put):
    put(["a"])
    mapping = llama_index.OSSVectorNodeMapping(http_client)
    store = llama_index.OSSVectorDocumentStore(http_client)
    mapping.prefetch(["a"])
    store.add_documents([TextNode(id_="four", embedding=[1.0, 0.0, 0.0, 0.0])])
    other = http_client.with_options(index="other")
    other.put_vector_index(dimension=2)
    mapping.client = store.client = other
    store.add_documents([TextNode(id_="two", embedding=[1.0, 0.0])])
    assert ["a" in mapping, "two" in mapping] == [False, True]


def test_arguments_in_place_of_a_client_reach_the_same_records(call, http_settings, put):
    put(["a"])
    key_id, secret = http_settings.pop("credentials")
    http_settings.pop("max_concurrency", None)
    options = {**http_settings, "access_key_id": key_id, "access_key_secret": secret}
    [document] = call(llama_index.OSSVectorReader(**options), "load_data", ["a"])
    for kind in (llama_index.OSSVectorStore, llama_index.OSSVectorDocumentStore):
        store = kind(**options)
        [node] = call(store, "get_nodes", ["a"])
        assert node.get_content() == document.text == "text of a"
        assert secret.encode() not in pickle.dumps(store)
        assert secret not in repr(store)


@pytest.mark.parametrize(
    "given", [{"access_key_id": "x"}, {"access_key_secret": "x"}, {"session_token": "x"}]
)
def test_half_of_the_credentials_is_refused_at_once(given):
    for kind in (llama_index.OSSVectorRetriever, llama_index.OSSVectorReader):
        with pytest.raises(ValueError, match="both"):
            kind(bucket="examplebucket", **given)


def test_an_unknown_argument_is_named_with_its_class(client):
    for kind in (
        llama_index.OSSVectorDocumentStore,
        llama_index.OSSVectorNodeMapping,
        llama_index.OSSVectorRetriever,
        llama_index.OSSVectorToolSpec,
    ):
        with pytest.raises(TypeError, match=f"{kind.__name__}.*'indx'"):
            kind(client, indx="x")
        with pytest.raises(ConfigurationError, match="client= or bucket, not both"):
            kind(client, bucket="x")


def test_a_service_in_memory_cannot_be_saved_and_says_so(client):
    reader = llama_index.OSSVectorReader(client=client)
    with pytest.raises(ConfigurationError, match="in memory"):
        pickle.dumps(reader)
    with pytest.raises(ConfigurationError, match="in memory"):
        llama_index.OSSVectorReader.from_dict(reader.to_dict())
    again = llama_index.OSSVectorReader.from_dict(reader.to_dict(), client=client)
    assert again.client is client


def test_a_service_in_a_file_travels_as_its_path(tmp_path):
    with OSSVectorClient.local(tmp_path / "vectors.db") as client:
        store = llama_index.OSSVectorStore(client)
        store.add([TextNode(id_="a", text="kept", embedding=[1.0, 0.0])])
        packed, written = pickle.dumps(store), store.to_dict()
    assert pickle.loads(packed).get_nodes(["a"])[0].text == "kept"
    assert llama_index.OSSVectorStore.from_dict(written).get_nodes(["a"])[0].text == "kept"


def test_a_function_that_no_dict_holds_is_named(saved):
    post = llama_index.OSSVectorRehydrationPostprocessor(
        client=saved, key_of=lambda node: node.metadata["doc"]
    )
    written = post.to_dict()
    assert written["omitted"] == ["key_of"]
    with pytest.raises(ConfigurationError, match="key_of="):
        type(post).from_dict(written)
    again = type(post).from_dict(written, key_of=post.key_of)
    hit = NodeWithScore(node=TextNode(id_="chunk", text="", metadata={"doc": "a"}))
    assert again.postprocess_nodes([hit])[0].node.get_content() == "text of a"
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
        pickle.dumps(post)


def test_a_model_that_no_dict_holds_is_named_and_said_to_be_needed(saved):
    kind = llama_index.StoredEmbeddingRescorer
    written = kind(client=saved, embed_model=MockEmbedding(embed_dim=4)).to_dict()
    assert written["omitted"] == ["embed_model"]
    with pytest.raises(ValueError, match="embed_model="):
        kind.from_dict(written).postprocess_nodes(Fixed(TextNode(id_="a")).retrieve("q"))


def test_a_retriever_that_was_pickled_reads_its_own_bucket(http_environment, put, monkeypatch):  # noqa: ARG001
    put(["k1"])
    with OSSVectorClient() as development:
        retriever = llama_index.OSSVectorRetriever(development)
        store = llama_index.OSSVectorStore(development)
        monkeypatch.setenv("OSS_VECTORS_BUCKET", OTHER_BUCKET)
        monkeypatch.setenv("OSS_VECTORS_INDEX", ELSEWHERE)
        assert pickle.loads(pickle.dumps(retriever)).retrieve("k1")[0].text == "text of k1"
        again = llama_index.OSSVectorStore.from_dict(store.to_dict())
        assert again.get_nodes(["k1"])[0].get_content() == "text of k1"


def test_a_store_that_was_pickled_writes_to_its_own_index(http_environment, monkeypatch):  # noqa: ARG001
    monkeypatch.setenv("OSS_VECTORS_INDEX", "production")
    with OSSVectorClient(index="staging") as staging, OSSVectorClient() as production:
        store = llama_index.OSSVectorStore(staging)
        store.add([TextNode(id_="a", text="x", embedding=[1.0, 0.0])])
        worker = pickle.loads(pickle.dumps(store))
        worker.add([TextNode(id_="b", text="y", embedding=[1.0, 0.0])])
        assert sorted(node.node_id for node in store.get_nodes()) == ["a", "b"]
        assert llama_index.OSSVectorStore(production).get_nodes() == []


@pytest.mark.parametrize("name", ["OSSVectorReader", "OSSVectorStore"])
def test_a_component_that_nothing_configures_yet_can_be_saved(name, monkeypatch):
    for variable in [one for one in os.environ if one.startswith("OSS_")]:
        monkeypatch.delenv(variable)
    kind = getattr(llama_index, name)
    written = kind(index="nodes").to_dict()
    assert written["client"] is None
    assert kind.from_dict(written).to_dict() == written
    assert pickle.loads(pickle.dumps(kind(index="nodes"))).index == "nodes"
