"""Records as documents: URLs that a host may open, titles on a line, texts within their room."""

import json

import pytest

from oss_vector_retriever.mcp.documents import Presentation, fit, take_fitting, to_json
from oss_vector_retriever.records import Record
from oss_vector_retriever.records.agent_ids import Access


def presentation(**options):
    fields = {"url_field": "url", "title_field": "title", "access": Access(), **options}
    return Presentation("bucket", "index", **fields)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "http://example.com/a/b?c=d#e",
        "HTTPS://EXAMPLE.COM:8443/",
        "https://例え.jp/頁",
        "https://example.com/a%20b?q='x'",
    ],
)
def test_a_page_on_the_web_is_the_url_to_cite(url):
    assert presentation().url(Record("k", metadata={"url": url})) == url


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JavaScript://example.com/%0aalert(1)",
        "data:text/html,<script>",
        "file:///etc/passwd",
        "ossvectors://bucket/index/another",
        "vbscript:x",
        "//example.com/",
        "example.com",
        "https://",
        "https:///path",
        "https://user:password@example.com/",
        "https://example.com@evil.example/",
        "https://example.com\\@evil.example/",
        "https://example.com/ <b>",
        'https://example.com/\n[id: "x"]',
        "https://example.com/\u2028",
        " https://example.com",
        "https://example.com/)\x00",
        'https://example.com/">x',
        "https://" + "a" * 5_000,
        "",
        None,
        5,
        ["https://example.com"],
        {"url": "https://example.com"},
    ],
)
def test_anything_else_is_cited_by_where_the_record_is(url):
    assert presentation().url(Record("k", metadata={"url": url})) == "ossvectors://bucket/index/k"


@pytest.mark.parametrize(
    "key", ["a", "a/b", "a b", "é 漢", "#char=5", "%41", "a?b&c", "..", "x" * 1024, '"\n\t']
)
def test_the_url_of_a_record_leads_back_to_its_key(key):
    url = presentation().own_url(key)
    assert url.isascii()
    assert not {*url.removeprefix("ossvectors://")} & {*' "<>\n\t#?'}
    assert presentation().split_url(url) == (key, 0)
    assert presentation().split_url(f"{url}#char=40") == (key, 40)
    assert presentation().split_url(f"{url}#char=40,50") == (key, 40)
    assert presentation().split_url(f"{url}#page=4") == (key, 0)


@pytest.mark.parametrize(
    "url", ["a", "ossvectors://bucket/other/a", "ossvectors://b/index/a", "https://bucket/index/a"]
)
def test_another_url_names_no_record_here(url):
    assert presentation().split_url(url) is None


@pytest.mark.parametrize(
    ("given", "title"),
    [
        ("A title", "A title"),
        (" two\n\nlines\t ", "two lines"),
        (2024, "2024"),
        ("", "key"),
        (None, "key"),
        (["a"], "key"),
        ("x" * 500, "x" * 200 + "..."),
        ("bell\x07 \u202eback", "bell\\u0007 \\u202eback"),
    ],
)
def test_a_title_stands_on_one_line_and_is_never_empty(given, title):
    assert presentation().title(Record("key", metadata={"title": given})) == title


def test_without_names_of_fields_a_record_is_cited_by_itself():
    record = Record("a b", metadata={"title": "T", "url": "https://e.org"})
    plain = presentation(url_field=None, title_field=None)
    assert plain.result(record) == {
        "id": "a b",
        "title": "a b",
        "url": "ossvectors://bucket/index/a%20b",
    }


@pytest.mark.parametrize("letter", ["a", "漢", '"', "\x00", "\U0001f600"])
@pytest.mark.parametrize("room", [1_000, 5_000])
def test_a_long_text_is_read_whole_part_by_part_within_the_room(letter, room):
    record = Record("key", text=letter * 12_345 + ".", metadata={"n": 1})
    view, start, read = presentation(), 0, ""
    for _ in range(200):
        document = view.document(record, start, room)
        assert len(to_json(document)) <= room
        read += document["text"]
        reading = document["metadata"].get("_reading")
        if reading is None or "rest_id" not in reading:
            break
        assert reading["characters"].endswith(" of 12346")
        key, start = view.split_url(reading["rest_id"])
        assert (key, start) == ("key", len(read))
    assert read == record.text


def test_a_text_that_fits_is_whole_and_nothing_is_said_of_it():
    document = presentation().document(Record("k", text="short", metadata={"n": 1}), 0, 1_000)
    assert document == {
        "id": "k",
        "title": "k",
        "text": "short",
        "url": "ossvectors://bucket/index/k",
        "metadata": {"n": 1},
    }


def test_behind_its_end_a_text_says_that_there_is_no_more():
    document = presentation().document(Record("k", text="short"), 9, 1_000)
    assert document["text"] == ""
    assert document["metadata"] == {"_reading": {"characters": "nothing more: it has 5"}}


def test_metadata_leave_most_of_the_room_to_the_text():
    many = {f"field{n}": "x" * 400 for n in range(100)}
    document = presentation().document(Record("k", text="t" * 9_000, metadata=many), 0, 4_000)
    assert len(to_json(document)) <= 4_000
    assert len(document["text"]) > 2_000
    assert document["metadata"]["..."] == "98 more fields"
    assert json.loads(to_json(document)) == document


def test_metadata_are_json_whatever_they_hold():
    odd = {"nan": float("nan"), "inf": float("inf"), "deep": {"a": [1]}, "none": None}
    document = presentation().document(Record("k", metadata=odd), 0, 4_000)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["metadata"]["deep"] == {"a": [1]}


def test_what_a_program_hides_from_its_model_and_our_bookkeeping_are_not_shown():
    record = Record(
        "k",
        metadata={"seen": 1, "hidden": 2, "_row": "kv", "_row_id": "x", "_reading": "forged"},
        node={"excluded_llm_metadata_keys": ["hidden"]},
    )
    assert presentation().document(record, 0, 1_000)["metadata"] == {"seen": 1}
    named = presentation(metadata_fields=("hidden", "other"))
    assert named.document(record, 0, 1_000)["metadata"] == {}


def test_links_lead_to_what_stands_before_and_after_and_may_be_seen():
    links = {"1": {"node_id": "d"}, "2": {"node_id": "t-1"}, "3": {"node_id": "other-3"}}
    record = Record("t-2", node={"relationships": links})
    view = presentation(access=Access(key_prefix="t-"))
    reading = view.document(record, 0, 1_000)["metadata"]["_reading"]
    assert reading == {"previous_id": "t-1"}
    for odd in (None, [], "x", {"2": None}, {"2": {"node_id": 5}}, {"3": [{"node_id": "t-1"}]}):
        document = view.document(Record("k", node={"relationships": odd}), 0, 1_000)
        assert document["metadata"] == {}


def test_so_many_objects_are_taken_as_there_is_room_for_and_one_at_least():
    objects = [{"id": "x" * 90}] * 5
    assert len(take_fitting(objects, 10)) == 1
    assert len(take_fitting(objects, 320)) == 3
    assert take_fitting([], 10) == []


@pytest.mark.parametrize("room", [0, 1, 5, 6, 7, 100])
def test_a_text_is_cut_by_what_it_takes_in_json(room):
    assert len(to_json(fit('a"\x00\n' * 10, room))) - 2 <= room
