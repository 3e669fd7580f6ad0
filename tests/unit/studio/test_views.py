"""What each view shows, asked as the page's script asks it, of an embedded service."""

import importlib
import json
import sys
import time
from urllib.parse import quote

import pytest
from blockbuster import blockbuster_ctx
from langchain_core.embeddings import DeterministicFakeEmbedding
from support.calls import QUICK
from support.embedded import embedded
from support.studio_page import HOSTILE, INDEX, ROOT, Outline, hostile_vectors, opened

from oss_vector_retriever.emulator.faults import Reset
from oss_vector_retriever.langchain import OSSVectorStore
from oss_vector_retriever.records import encode

READS = {"listVectors", "getVectors", "queryVectors", "getVectorIndex", "listVectorIndexes", ""}


def fill(client, count=30):
    client.upsert(
        encode(f"k{n:02}", [1, n / 100], text=f"text {n}", metadata={"odd": n % 2 == 1, "n": n},
               filterable=None, scalars="native")
        for n in range(count)
    )  # fmt: skip


async def look(http, path, **query):
    reply = await http.get(path, params=query or None)
    assert reply.status_code == 200, reply.text
    return Outline(reply.text)


def keys_of(outline):
    return [
        own["href"].partition("keys=")[2]
        for own in outline.all("a", **{"class": "key"})
        if "/keys?" in own["href"]
    ]


async def test_buckets_stand_with_their_indexes(http, client, service):
    service.create_bucket(client.config.account_id, "another")
    view = await look(http, ROOT)
    assert "development-bucket" in view.words
    assert "another" in view.words
    assert "vectors 2 cosine enable" in view.words
    assert "No index in it yet." in view.words
    one = await look(http, f"{ROOT}/b/development-bucket")
    assert "vectors 2 cosine" in one.words
    assert "another" not in one.words


@pytest.mark.usefixtures("client")
async def test_who_may_not_list_buckets_sees_the_one_that_is_named(http, service):
    service.denied.add("")
    view = await look(http, ROOT)
    assert "may not be listed" in view.words
    assert "vectors 2 cosine" in view.words


async def test_an_index_is_listed_in_pages(http, client):
    fill(client)
    view = await look(http, INDEX)
    assert len(keys_of(view)) == 25
    assert "2 values" in view.words
    assert "text 3" in view.words
    assert "n 3" in view.words
    (following,) = view.all("a", rel="next")
    rest = await look(http, following["href"])
    assert len(keys_of(rest)) == 5
    assert not {*keys_of(rest)} & {*keys_of(view)}
    assert "This is the last page." in rest.words
    every = await look(http, INDEX, size=100)
    assert sorted(keys_of(every)) == sorted(keys_of(view) + keys_of(rest))


async def test_a_filter_chooses_and_stays_for_the_next_page(http, client):
    fill(client, 60)
    narrow = json.dumps({"odd": {"$eq": True}})
    view = await look(http, INDEX, filter=narrow)
    (field,) = view.all("input", name="filter")
    assert field["value"] == narrow
    (following,) = view.all("a", rel="next")
    rest = await look(http, following["href"])
    assert len(keys_of(view) + keys_of(rest)) == 30


WRONG = {
    "{": "The filter is not JSON",
    "[1]": "must be a JSON object",
    "NaN": "not JSON",
    '{"a": {"$like": 1}}': "filter",
    '{"_record": {"$eq": "x"}}': "_record",
    '{"a": {"$eq": 1e999}}': "JSON",
}


@pytest.mark.parametrize("text", WRONG)
@pytest.mark.parametrize("path", [INDEX, f"{INDEX}/near?key=k01"])
async def test_a_filter_that_cannot_be_is_answered_in_words_and_stays_to_be_mended(
    http, client, text, path
):
    fill(client, 3)
    view = await look(http, f"{path}{'&' if '?' in path else '?'}filter={quote(text)}")
    assert WRONG[text] in view.words
    (field,) = view.all("input", name="filter")
    assert field["value"] == text
    assert view.all("p", role="alert")
    assert "client." not in view.words


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        (f"{INDEX}?size=0", "size must be a whole number from 1 to 100"),
        (f"{INDEX}?size=x", "size must be"),
        (f"{INDEX}?token=nonsense", "token"),
        (f"{INDEX}/near?key=gone", "do not exist"),
        (f"{INDEX}/near?key=k01&k=101", "k must be a whole number from 1 to 100"),
        (f"{INDEX}/near", "Name one key."),
        (f"{INDEX}/made?key=gone", "There is no key"),
        (f"{INDEX}/keys?keys=%5B1%5D", "keys are strings"),
        (f"{INDEX}/keys?keys={'x' * 1025}", "1,024"),
        (f"{INDEX}/nonsense", "There is no view"),
        (f"{ROOT}/b/development-bucket/absent", "does not exist"),
        (f"{ROOT}/b/development-bucket/not-a-name", "index name"),
        (f"{ROOT}/b/UPPER", "bucket"),
    ],
)
async def test_what_cannot_be_asked_is_answered_in_words(http, client, path, problem):
    fill(client, 3)
    view = await look(http, path)
    assert problem.lower() in view.words.lower().replace("1024", "1,024")


@pytest.mark.parametrize(
    ("path", "heading"),
    [
        (f"{INDEX}?size=0", "This cannot be asked"),
        (f"{ROOT}/b/UPPER/vectors", "This cannot be asked"),
        (f"{INDEX}/near?key=gone", "This record is not there"),
        (f"{ROOT}/b/development-bucket/absent", "The service says no"),
    ],
)
async def test_a_problem_says_whose_it_is(http, client, path, heading):
    assert client.list_vectors().vectors == ()
    view = await look(http, path)
    assert heading in view.words


async def test_a_service_that_does_not_answer_is_told_of(service, client):
    client.list_vectors()
    shown = client.with_options(retry=QUICK).to_async()
    http, _ = opened(shown)
    async with http:
        service.faults.add(*[Reset() for _ in range(20)])
        view = await look(http, INDEX)
        assert "The service does not answer" in view.words
        service.faults.clear()
        assert "No record in this index." in (await look(http, INDEX)).words
    await shown.close()


async def test_keys_are_shown_in_full_in_the_order_asked_with_what_is_missing(http, client):
    fill(client)
    view = await look(http, f"{INDEX}/keys", keys="k03\ngone\nk01\nk03")
    assert "2 of 3 found" in view.words
    assert "1 missing gone" in view.words
    assert view.words.index("text 3") < view.words.index("text 1")
    assert view.all("polyline")[0]["points"].count(",") == 2
    assert "norm 1.0004" in view.words
    assert "3 of 1,024 characters" in view.words
    assert "of 40,960 bytes" in view.words
    assert "_record this package's envelope decoded" in view.words
    assert "k03\ngone\nk01\nk03" in view.text


async def test_more_keys_than_one_call_takes_are_too_many_at_once(http):
    view = await look(http, f"{INDEX}/keys", keys=json.dumps([str(n) for n in range(101)]))
    assert "These are 101 keys; 100 are shown at once." in view.words


async def test_the_frameworks_get_what_their_adapters_make(http, client):
    fill(client, 2)
    view = await look(http, f"{INDEX}/made", key="k01")
    assert 'LangChain Document id k01 metadata {"odd":true,"n":1} page_content text 1' in view.words
    assert "LlamaIndex TextNode id_ k01 text text 1" in view.words
    assert "embedding 2 values" in view.words


@pytest.mark.parametrize(
    ("module", "extra"), [("langchain_core", "langchain"), ("llama_index", "llama-index")]
)
async def test_a_framework_that_is_not_installed_is_named_with_its_extra(
    http, client, monkeypatch, module, extra
):
    fill(client, 2)
    own = f"oss_vector_retriever.{extra.replace('-', '_')}"
    for name in [name for name in sys.modules if name.startswith((f"{own}.", f"{module}."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    view = await look(http, f"{INDEX}/made", key="k01")
    assert f'is not installed: pip install "oss-vector-retriever[{extra}]"' in view.words
    assert "text 1" in view.words  # the other one is shown


async def test_a_record_that_no_adapter_takes_says_why(http, client):
    client.upsert([{"key": "bad", "data": [1, 2], "metadata": {"_node_content": "{"}}])
    view = await look(http, f"{INDEX}/keys", keys="bad")
    assert "_node_content cannot be read" in view.words
    assert "_node_content a node that LlamaIndex wrote broken" in view.words
    made = await look(http, f"{INDEX}/made", key="bad")
    assert made.words.count("cannot be read") == 2


async def test_a_value_in_parts_is_shown_whole(http, client):
    text = "".join(chr(0x4E00 + (n * 7919) % 20000) for n in range(20_000))
    store = OSSVectorStore(client=client, embedding=DeterministicFakeEmbedding(size=2))
    store.add_texts([text], ids=["long"])
    assert "a long value, kept in parts" in (await look(http, INDEX)).words
    view = await look(http, f"{INDEX}/keys", keys="long")
    assert text in view.text
    assert "Its value was cut: " in view.words
    assert text in (await look(http, f"{INDEX}/made", key="long")).text


async def test_neighbours_come_closest_first(http, client):
    fill(client)
    view = await look(http, f"{INDEX}/near", key="k00", k=3)
    assert keys_of(view)[1:] == ["%5B%22k01%22%5D", "%5B%22k02%22%5D", "%5B%22k03%22%5D"]
    assert "0.0000" in view.words
    narrow = await look(http, f"{INDEX}/near", key="k00", k=3, filter='{"odd": {"$eq": false}}')
    assert keys_of(narrow)[1:] == ["%5B%22k02%22%5D", "%5B%22k04%22%5D", "%5B%22k06%22%5D"]
    assert "asked for the 500 nearest; 14 of them passed" in narrow.words


async def test_nothing_is_found_in_words(http, client):
    assert "No record in this index." in (await look(http, INDEX)).words
    fill(client, 1)
    assert "There is no other record." in (await look(http, f"{INDEX}/near", key="k00")).words
    narrow = {"filter": '{"n": {"$eq": 7}}'}
    assert "No record passes" in (await look(http, INDEX, **narrow)).words
    found = await look(http, f"{INDEX}/near", key="k00", **narrow)
    assert "None of the 500 nearest passes this filter." in found.words


async def test_another_index_than_the_clients_and_another_bucket_are_shown(http, client, service):
    service.create_bucket(client.config.account_id, "another")
    other = client.with_options(bucket="another", index="notes")
    other.put_vector_index(dimension=2)
    other.upsert([{"key": "there", "data": [1, 2], "metadata": {"text": "elsewhere"}}])
    view = await look(http, f"{ROOT}/b/another/notes/keys", keys="there")
    assert "elsewhere" in view.words


async def test_no_view_writes_and_none_blocks_the_event_loop(http, client, service, monkeypatch):
    fill(client)
    await look(http, f"{INDEX}/made?key=k01")
    service.seen.clear()
    load = importlib.import_module
    # as the first time, when frameworks are read from the disk
    slow = lambda name, *rest: time.sleep(0.001) or load(name, *rest)  # noqa: E731
    monkeypatch.setattr(importlib, "import_module", slow)
    views = ("", "?size=100", '?filter={"n":{"$gte":3}}', "/keys?keys=k01%0Agone")
    paths = [INDEX + view for view in views] + [f"{INDEX}/near?key=k01", f"{INDEX}/made?key=k01"]
    with embedded(service) as other:  # which knows nothing of the index yet
        fresh, _ = opened(other.to_async())
    async with fresh:
        with blockbuster_ctx():
            for path in (ROOT, f"{ROOT}/b/development-bucket", *paths):
                assert "problem" not in (await look(fresh, path)).words
    asked = {query.partition("&")[0].partition("=")[0] for query in service.seen}
    assert asked == READS


@pytest.mark.parametrize("view", ["", "?size=100", "/keys?keys={}", "/near?key={}", "/made?key={}"])
async def test_hostile_records_are_text_in_every_view(http, client, view):
    client.upsert(hostile_vectors())
    keys = [one["key"] for one in hostile_vectors()]
    asked = [[key] for key in keys] if "{}" in view else [None]
    for one in asked:
        path = INDEX + view.format(quote(json.dumps(one)))
        text = (await http.get(path)).text
        outline = Outline(text)
        assert {tag for tag, _ in outline.elements} <= ELEMENTS
        for tag, attributes in outline.elements:
            assert {name for name in attributes if name not in ATTRIBUTES} == set(), (tag, path)
            for name in ("href", "action", "hx-get"):
                assert attributes.get(name, "/_studio").startswith("/_studio")
        assert "\x00" not in text
        assert "\u202e" not in outline.text
        assert "3703731" not in text  # nothing was worked out


# what the templates are made of
_ELEMENTS = """
    a article b button code details div form h1 h2 h3 header i input label li line nav ol option p
    path polyline pre rect section select span summary svg table tbody td textarea th thead time
    title tr ul
"""
_ATTRIBUTES = """
    action aria-current aria-describedby aria-hidden aria-invalid aria-label aria-labelledby
    autocapitalize autocomplete checked class data-copy data-copy-text data-search data-submits for
    height href hx-disable hx-get hx-push-url hx-target hx-trigger id max method min name
    placeholder points preserveaspectratio rel role rows rx scope selected spellcheck tabindex type
    value viewbox width x1 x2 y1 y2
"""
ELEMENTS, ATTRIBUTES = set(_ELEMENTS.split()), set(_ATTRIBUTES.split())


async def test_what_cannot_be_seen_is_shown(http, client):
    client.upsert(hostile_vectors())
    view = await look(http, f"{INDEX}/keys", keys=json.dumps([HOSTILE["direction"]]))
    assert "user\\u202e\\u2066txt.exe\\u2069" in view.text


async def test_no_secret_stands_in_any_view(client):
    fill(client, 3)
    secret = client.config.credentials
    http, _ = opened(client.to_async(), token="canary-token")
    async with http:
        http.headers["X-Studio-Token"] = "canary-token"
        for path in (ROOT, INDEX, f"{INDEX}/keys?keys=k01", f"{INDEX}/near?key=k01"):
            text = (await http.get(path)).text
            assert "development-access-key" not in text
            assert "canary-token" not in text
    assert secret is not None
