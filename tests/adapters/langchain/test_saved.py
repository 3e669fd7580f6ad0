"""What was saved in one process reads in another where it read, whatever the environment names."""

import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from langchain_core.load import dumpd, dumps
from langchain_core.runnables import ConfigurableField
from support import saved_components
from support.embedded import settings

pytest.importorskip("langgraph")

from oss_vector_retriever import ConfigurationError, OSSVectorClient, emulator, langchain, langgraph
from oss_vector_retriever.langchain import OSSVectorRetriever, OSSVectorSearchTool, OSSVectorStore

TESTS = Path(saved_components.__file__).parents[1]
KEYS = {
    "OSS_ACCESS_KEY_ID": emulator.DEVELOPMENT_ACCESS_KEY_ID,
    "OSS_ACCESS_KEY_SECRET": emulator.DEVELOPMENT_ACCESS_KEY_SECRET,
}
NOT_COMPONENTS = {
    "Connected",
    "ConnectedComponent",
    "DocumentState",
    "FetchReport",
    "OSSVectorAdapter",  # over a store, as the next one
    "OSSVectorStoreRetriever",  # LangChain's own
    "OSSVectorTranslator",
    "SearchOptions",
    "load_retriever",
}
NAMES = list(saved_components.READERS)
SERIALISABLE = {
    *("retriever", "fetcher", "rehydrator", "parents", "filter", "mmr", "redundant"),
    *("fetch tool", "toolkit"),
}


@pytest.fixture(scope="module")
def endpoint():
    """Give a service with two buckets whose records say which is which."""
    with emulator.Service.in_memory() as service:
        for bucket in ("own-bucket", "foreign-bucket"):
            service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, bucket)
        with emulator.Server(service) as server:
            for word in ("own", "foreign"):
                arguments = {**settings(server.endpoint), **pointers(word)}
                with OSSVectorClient(**arguments) as client:
                    saved_components.fill(client, word)
            yield server.endpoint


def pointers(word):
    return {"bucket": f"{word}-bucket", "index": f"{word}index"}


def environment(endpoint, word):
    return {
        **KEYS,
        "OSS_VECTORS_BUCKET": f"{word}-bucket",
        "OSS_VECTORS_INDEX": f"{word}index",
        "OSS_ACCOUNT_ID": emulator.DEVELOPMENT_ACCOUNT_ID,
        "OSS_REGION": emulator.DEVELOPMENT_REGION,
        "OSS_ENDPOINT": endpoint,
    }


@pytest.fixture
def own_environment(endpoint, monkeypatch):
    for name, value in environment(endpoint, "own").items():
        monkeypatch.setenv(name, value)


def in_another_process(saved, endpoint, tmp_path):
    """Return what each saved component reads where the environment points elsewhere."""
    file = tmp_path / "saved"
    file.write_bytes(pickle.dumps(saved))
    done = subprocess.run(
        [sys.executable, "-m", "support.saved_components", str(file)],
        capture_output=True,
        check=True,
        cwd=TESTS,
        env={**os.environ, **environment(endpoint, "foreign")},
        text=True,
    )
    return {tuple(label): text for *label, text in json.loads(done.stdout)}


def ways(endpoint):
    """Return the arguments of components, by how they come to their client."""
    client = OSSVectorClient()
    place = {**pointers("own"), "account_id": emulator.DEVELOPMENT_ACCOUNT_ID}
    arguments = {**place, "region": emulator.DEVELOPMENT_REGION, "endpoint": endpoint}
    return {
        "client": ({"client": client}, {"client": client}),
        "arguments": (arguments, {n: v for n, v in arguments.items() if n != "index"}),
        "some arguments": ({"bucket": "own-bucket"}, {"bucket": "own-bucket"}),
        "environment": ({}, {}),
    }


@pytest.mark.usefixtures("own_environment")
def test_every_component_reads_on_where_it_read(endpoint, tmp_path):
    saved = []
    for way, (options, without_index) in ways(endpoint).items():
        for name, component in saved_components.components(options, without_index).items():
            assert saved_components.READERS[name](component) == "own", name
            saved.append((("pickle", way, name), pickle.dumps(component)))
            saved += [(("text", way, name), dumps(component)) for _ in range(name in SERIALISABLE)]
    read = in_another_process(saved, endpoint, tmp_path)
    assert {label: text for label, text in read.items() if text != "own"} == {}
    assert len(read) == 4 * (len(NAMES) + len(SERIALISABLE))


@pytest.mark.usefixtures("own_environment")
def test_without_its_credentials_every_component_asks_for_them(endpoint, tmp_path):
    given = {
        "client": OSSVectorClient(credentials=tuple(KEYS.values())),
        "arguments": dict(zip(("access_key_id", "access_key_secret"), KEYS.values(), strict=True)),
    }
    ways = {"client": {"client": given["client"]}, "arguments": given["arguments"]}
    saved = []
    for way, options in ways.items():
        for name, component in saved_components.components(options, options).items():
            assert saved_components.READERS[name](component) == "own", name
            pickled = pickle.dumps(component)
            texts = [dumps(component)] if name in SERIALISABLE else []
            for form in (pickled, *texts):
                held = form if isinstance(form, bytes) else form.encode()
                assert not [key for key in KEYS.values() if key.encode() in held], name
                saved.append(((type(form).__name__, way, name), form))
    read = in_another_process(saved, endpoint, tmp_path)
    asked = "ConfigurationError: this client was saved without the credentials"
    assert {label: text for label, text in read.items() if not text.startswith(asked)} == {}


def test_every_public_component_is_looked_at():
    made = saved_components.components({"client": OSSVectorClient.local()}, {})
    public = {*langchain.__all__, *langgraph.__all__}
    assert {type(component).__name__ for component in made.values()} == public - NOT_COMPONENTS


@pytest.mark.parametrize("name", NAMES)
def test_a_service_in_memory_does_not_travel_and_copies_share_it(name):
    with OSSVectorClient.local() as client:
        saved_components.fill(client, "own")
        options = {"client": client}
        component = saved_components.components(options, options)[name]
        with pytest.raises(ConfigurationError, match="in memory"):
            pickle.dumps(component)
        assert dumpd(component)["type"] == "not_implemented"
        for copied in (copy.copy(component), copy.deepcopy(component)):
            assert saved_components.READERS[name](copied) == "own"
        if hasattr(component, "model_copy"):
            assert saved_components.READERS[name](component.model_copy(deep=True)) == "own"


def test_a_service_in_a_file_travels_as_its_path(tmp_path):
    with OSSVectorClient.local(tmp_path / "vectors.db", index="own") as client:
        saved_components.fill(client, "own")
        store = pickle.dumps(OSSVectorStore(client=client))
        text = dumps(OSSVectorRetriever(client=client))
    read = in_another_process([(("store",), store), (("retriever",), text)], "http://x", tmp_path)
    assert set(read.values()) == {"own"}


@pytest.mark.usefixtures("own_environment")
def test_a_function_that_does_not_travel_is_named():
    with pytest.raises(TypeError, match="key_parser= is a function without a name"):
        pickle.dumps(OSSVectorRetriever(key_parser=lambda text: text.split()))
    with pytest.raises(TypeError, match="embedding= is a function without a name"):
        pickle.dumps(OSSVectorSearchTool(embedding=lambda _: [1.0]))


@pytest.mark.usefixtures("own_environment")
def test_credentials_are_given_to_what_came_back():
    client = OSSVectorClient(credentials=tuple(KEYS.values()))
    retriever = pickle.loads(pickle.dumps(OSSVectorRetriever(client=client)))
    retriever.client = retriever.client.with_options(credentials=tuple(KEYS.values()))
    assert retriever.invoke("a")[0].page_content == "own"
    given = OSSVectorRetriever(access_key_id=next(iter(KEYS.values())), access_key_secret="x")
    again = pickle.loads(pickle.dumps(given))
    again.client = again.client.with_options(credentials=tuple(KEYS.values()))
    assert again.invoke("a")[0].page_content == "own"


@pytest.mark.usefixtures("own_environment")
def test_arguments_are_assigned_to_what_came_back():
    given = OSSVectorRetriever(access_key_id=next(iter(KEYS.values())), access_key_secret="x")
    secrets = dict(zip(("access_key_id", "access_key_secret"), KEYS.values(), strict=True))
    again = pickle.loads(pickle.dumps(given)).model_copy(update=secrets)
    assert again.invoke("a")[0].page_content == "own"
    toolkit = pickle.loads(pickle.dumps(langchain.OSSVectorToolkit(**secrets)))
    for changed in (
        toolkit.model_copy(update=secrets),
        toolkit.model_copy(update={"client": OSSVectorClient()}),
    ):
        assert saved_components.READERS["toolkit"](changed) == "own"
    again = pickle.loads(pickle.dumps(OSSVectorRetriever()))
    there = again.model_copy(update=pointers("foreign"))
    assert there.invoke("a")[0].page_content == "foreign"
    assert again.invoke("a")[0].page_content == "own"
    with pytest.raises(ConfigurationError, match="client= or bucket, not both"):
        again.model_copy(update={"client": OSSVectorClient(), "bucket": "x"}).invoke("a")


def test_two_that_share_a_file_come_back_together(tmp_path):
    with OSSVectorClient.local(tmp_path / "vectors.db", index="own") as client:
        saved_components.fill(client, "own")
        options = {"client": client}
        parents = saved_components.components(options, options)["parents"]
        saved = [(("pickle", "parents"), pickle.dumps(parents)), (("parents",), dumps(parents))]
    read = in_another_process(saved, "http://x", tmp_path)
    assert list(read.values()) == ["own", "own"]


@pytest.mark.usefixtures("own_environment")
def test_configurable_fields_of_what_came_back_read_where_it_reads(monkeypatch, endpoint):
    secrets = dict(zip(("access_key_id", "access_key_secret"), KEYS.values(), strict=True))
    text = dumps(OSSVectorRetriever(**secrets))
    for name, value in environment(endpoint, "foreign").items():
        monkeypatch.setenv(name, value)
    again = langchain.load_retriever(text, secrets=KEYS)
    configurable = again.configurable_fields(k=ConfigurableField(id="k"))
    chosen = {"configurable": {"k": 1}}
    assert configurable.invoke("a", config=chosen)[0].page_content == "own"
    assert langchain.load_retriever(dumps(again), secrets=KEYS).invoke("a")[0].page_content == "own"


@pytest.mark.parametrize(("native", "scalars"), [(True, "native"), (False, "auto")])
def test_a_store_that_an_earlier_release_pickled_is_read(http_client, native, scalars):
    state = OSSVectorStore(client=http_client, filterable=["a"]).__getstate__()
    del state["scalars"], state["list_fields"]
    again = object.__new__(OSSVectorStore)
    again.__setstate__({**state, "native_scalars": native})
    assert (again.scalars, again.list_fields, again.filterable) == (scalars, "any", ["a"])
