"""Results as notebooks show them: small tables, in which what stands in a record stays text."""

from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from support.studio_page import HOSTILE, hostile_vectors

from oss_vector_retriever import (
    ClientStats,
    FetchResult,
    FusedVector,
    GetVectorsResult,
    ListVectorIndexesResult,
    OSSVectorClient,
    QueryVectorsResult,
    ScoredVector,
    Vector,
    VectorBucket,
    VectorIndex,
)
from oss_vector_retriever.client.models.results import OperationStats
from oss_vector_retriever.langchain import OSSVectorFetcher
from oss_vector_retriever.records import encode
from oss_vector_retriever.records.bad_records import InvalidRecordError, make_each

ELEMENTS = {"table", "caption", "tr", "th", "td"}


class Table(HTMLParser):
    """A table as a reader sees it; what a notebook could run or load is refused."""

    def __init__(self, value):
        super().__init__(convert_charrefs=True)
        self.text = value._repr_html_()
        self.caption, self.rows, self.depth = "", [], 0
        self.feed(self.text)
        self.close()
        assert self.depth == 0

    def handle_starttag(self, tag, attributes):
        assert tag in ELEMENTS
        mathjax = [("class", "tex2jax_ignore mathjax_ignore")]
        assert attributes in ([], [("style", "text-align: left")], mathjax)
        assert (attributes == mathjax) == (tag == "table")
        self.depth += 1
        if tag == "tr":
            self.rows.append([])
        elif tag in {"th", "td"}:
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert tag in ELEMENTS
        self.depth -= 1

    def handle_data(self, text):
        if self.rows:
            self.rows[-1][-1] += text
        else:
            self.caption += text

    def handle_comment(self, text):
        raise AssertionError(text)

    handle_decl = handle_pi = unknown_decl = handle_comment


def fetched(vectors, *more):
    keys = [*(vector.key for vector in vectors), *more]
    return FetchResult(tuple(keys), {one.key: one for one in vectors}, missing=more)


A = Vector("a", [0.5] * 1024, {"text": "Tea", "n": 3, "ok": True, "day": 0.123456789})


def test_a_fetch_is_a_row_for_each_key_asked_for():
    table = Table(fetched([A], "b"))
    assert table.caption == "FetchResult(1 of 2 found, 1 missing, calls=0)"
    metadata = '{"text": "Tea", "n": 3, "ok": true, "day": 0.123456789}'
    assert table.rows == [
        ["key", "data", "metadata"],
        ["a", "1,024 floats", metadata],
        ["b", "does not exist", ""],
    ]


def test_a_vector_is_a_row_for_each_of_its_metadata():
    table = Table(A)
    assert table.caption == "Vector"
    assert table.rows == [
        ["", "value"],
        ["key", "a"],
        ["data", "1,024 floats"],
        ["metadata['text']", "Tea"],
        ["metadata['n']", "3"],
        ["metadata['ok']", "True"],
        ["metadata['day']", "0.123457"],
    ]
    assert Table(Vector("b")).rows == [["", "value"], ["key", "b"]]


def test_a_page_has_no_column_of_what_was_not_asked_for():
    table = Table(QueryVectorsResult((ScoredVector("a", 0.25), ScoredVector("b", 1 / 3))))
    assert table.caption == "QueryVectorsResult: 2 items"
    assert table.rows == [["key", "distance"], ["a", "0.25"], ["b", "0.333333"]]
    table = Table(GetVectorsResult((Vector("a", metadata={"x": "1"}),), "token"))
    assert table.caption == "GetVectorsResult: 1 item, and more by next_token"
    assert table.rows == [["key", "metadata"], ["a", '{"x": "1"}']]
    assert Table(GetVectorsResult(())).rows == []


def test_descriptions_and_pages_of_them_are_tables():
    index = VectorIndex("docs", 1024, "cosine", create_time=datetime(2026, 1, 2, tzinfo=UTC))
    table = Table(ListVectorIndexesResult((index,)))
    assert table.rows == [
        ["index_name", "dimension", "distance_metric", "data_type", "create_time"],
        ["docs", "1,024", "cosine", "float32", "2026-01-02 00:00:00+00:00"],
    ]
    assert ["dimension", "1,024"] in Table(index).rows
    assert ["region", "cn-hangzhou"] in Table(VectorBucket("arn:b", "cn-hangzhou")).rows
    assert ["score", "0.5"] in Table(FusedVector("a", 0.5)).rows


def test_what_a_client_has_done_is_a_row_for_each_operation():
    with OSSVectorClient.local() as client:
        client.put_vector_index(dimension=2)
        client.fetch(["a"])
        table = Table(client.stats())
    assert table.rows[0][:4] == ["operation", "calls", "failed", "attempts"]
    assert [row[:2] for row in table.rows[1:]] == [
        ["PutVectorIndex", "1"],
        ["GetVectors", "1"],
        ["all", "2"],
    ]
    one = OperationStats(calls=1234)
    table = Table(ClientStats(shared=5, operations={"GetVectors": one}, decoder="pure", rate=2.5))
    assert table.caption == "ClientStats(shared=5, decoder='pure', rate=2.5)"
    assert table.rows[1][1] == "1,234"


def check_even(number):
    if number % 2:
        raise InvalidRecordError("<b>", "is <i>odd</i>", field="metadata['<u>']")


def test_a_report_of_bad_records_says_which_and_why():
    _, report = make_each("report", ["a", "<b>"], check_even)
    table = Table(report)
    assert table.caption == "1 of 2 records cannot be written"
    assert table.rows[0][:3] == ["position", "key", "field"]
    assert table.rows[1] == ["1", "<b>", "metadata['<u>']", "is <i>odd</i>"]


def test_a_report_of_a_fetch_shows_documents_and_what_is_missing():
    with OSSVectorClient.local() as client:
        client.put_vector_index(dimension=8)
        client.upsert([encode("a", [0.1] * 8, text="Tea <b>", metadata={"n": "1"})])
        fetcher = OSSVectorFetcher(client=client)
        table = Table(fetcher.report(["a", "<i>"]))
        assert table.caption == "FetchReport(1 found, 1 missing ['<i>'])"
        assert table.rows == [["id", "page_content", "metadata"], ["a", "Tea <b>", '{"n": "1"}']]
        both = OSSVectorFetcher(client=client, return_data=True).report(["a"])
        assert Table(both).rows[1][-1] == "8 floats"


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_records_are_text(kind):
    text = HOSTILE[kind]
    vector = Vector(text, [1, 2], {text: text, "inside": {text: [text]}})
    hit = ScoredVector(text, 0.5, {text: text})
    index = VectorIndex(text, status=text, schema_fields=({text: text},))
    for value in (vector, hit, index, fetched([vector], text + "2"), QueryVectorsResult((hit,))):
        table = Table(value)
        assert len(table.text) < 10_000
        assert "\x00" not in table.text
        assert "\u202e" not in table.text


def test_all_hostile_records_of_a_page_are_text():
    vectors = [Vector(**one) for one in hostile_vectors()]
    assert len(Table(GetVectorsResult(tuple(vectors))).rows) == 21
    for vector in vectors:
        Table(vector)


def test_of_many_rows_the_first_are_shown():
    vectors = [Vector(f"k{n}", [1], {"x": "y" * 30_000}) for n in range(1000)]
    for value in (fetched(vectors, "other"), GetVectorsResult(tuple(vectors))):
        table = Table(value)
        assert len(table.rows) == 21
        assert f"; the first 20 of {len(value) + isinstance(value, FetchResult):,}" in table.caption
        assert len(table.text) < 20_000
    many = Table(Vector("k" * 1000, metadata={f"n{n}": "v" for n in range(1000)}))
    assert len(many.rows) == 21
    assert many.rows[1][1] == f"{'k' * 120}... (1,000 characters)"


def test_what_is_no_json_is_shown_all_the_same():
    circle = {"a": object()}
    circle["me"] = circle
    deep = []
    for _ in range(100_000):
        deep = [deep]
    for value in (circle, {1: {(): 2}}, {"x": {"y": deep}}, {"n": float("nan")}, {"x": {1, 2}}):
        assert len(Table(Vector("a", metadata=value)).text) < 5000
    while deep:  # its end, all at once, would go as deep
        deep = deep.pop()
    assert "nan" in Table(Vector("a", metadata={"n": float("nan")})).text
