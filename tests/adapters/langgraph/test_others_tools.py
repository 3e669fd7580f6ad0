"""What others build on LangGraph's stores works on this one: LangMem's tools, deepagents' files."""

import importlib
import json
import os
import warnings

import pytest

pytest.importorskip("langgraph")

from langchain_core.embeddings import DeterministicFakeEmbedding

from oss_vector_retriever.langgraph import OSSVectorGraphStore

USER = {"configurable": {"user": "u1"}}


def import_or_skip(name):
    """Import a package that `make memory` installs; who asks for it may not do without."""
    if "OSS_VECTORS_NEED_MEMORY" in os.environ:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # LangMem's import, of names that LangGraph has moved
            return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"{name} is not installed: make memory")


@pytest.fixture
def store(client):
    index = {"dims": 4, "embed": DeterministicFakeEmbedding(size=4)}
    return OSSVectorGraphStore(client=client, index=index)


async def test_langmems_tools_manage_and_search_memories(store):
    langmem = import_or_skip("langmem")
    place = ("memories", "{user}")
    manage = langmem.create_manage_memory_tool(namespace=place, store=store)
    search = langmem.create_search_memory_tool(namespace=place, store=store)
    manage.invoke({"content": "likes tea", "action": "create"}, USER)
    await manage.ainvoke({"content": "has a cat", "action": "create"}, USER)
    found = json.loads(search.invoke({"query": "likes tea"}, USER))
    assert {one["value"]["content"] for one in found} == {"likes tea", "has a cat"}
    [tea] = store.search(("memories", "u1"), filter={"content": "likes tea"})
    manage.invoke({"content": "likes coffee", "action": "update", "id": tea.key}, USER)
    assert store.get(("memories", "u1"), tea.key).value == {"content": "likes coffee"}
    manage.invoke({"action": "delete", "id": tea.key}, USER)
    found = json.loads(await search.ainvoke({"query": "anything"}, USER))
    assert [one["value"]["content"] for one in found] == ["has a cat"]
    assert json.loads(search.invoke({"query": "x"}, {"configurable": {"user": "u2"}})) == []


def test_deepagents_keeps_files_of_any_size(store):
    backends = import_or_skip("deepagents.backends")
    files = backends.StoreBackend(store=store, namespace=lambda *_: ("files",))
    text = "".join(f"line {n} of the file\n" for n in range(20_000))
    assert files.write("/notes/large.txt", text).error is None
    assert files.edit("/notes/large.txt", "line 777 of the file\n", "changed\n").occurrences == 1
    [match] = files.grep("changed").matches
    assert (match["path"], match["line"]) == ("/notes/large.txt", 778)
    data = bytes(range(256)) * 2000
    [uploaded] = files.upload_files([("/bin/data.bin", data)])
    assert uploaded.error is None
    binary, whole = files.download_files(["/bin/data.bin", "/notes/large.txt"])
    assert binary.content == data
    assert whole.content.decode() == text.replace("line 777 of the file\n", "changed\n")
    assert {entry["path"].rstrip("/") for entry in files.ls("/").entries} == {"/bin", "/notes"}
