"""`oss-vectors explain`: a record, its rung, what each framework makes of it, sizes, neighbours."""

import json
from datetime import date
from decimal import Decimal

import pytest
from click.testing import CliRunner
from support.command_fixtures import no_settings  # noqa: F401 - a fixture
from support.command_line import call
from support.golden_tables import WIDTHS, check_golden, make_notes

from oss_vector_retriever import OSSVectorClient
from oss_vector_retriever.cli.application import commands
from oss_vector_retriever.client.errors import CONTROLS
from oss_vector_retriever.langchain import OSSVectorRetriever
from oss_vector_retriever.llama_index import OSSVectorRetriever as LlamaIndexRetriever
from oss_vector_retriever.records.settings import StoreSettings
from oss_vector_retriever.records.store import RecordStore

NODE = {"id_": "n", "text": "A node.", "class_name": "TextNode", "metadata": {"page": 3}}


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    """Give a file with records of every kind."""
    path = tmp_path_factory.mktemp("explain") / "notes.db"
    make_notes(path)
    with OSSVectorClient.local(path, index="notes") as client:
        stored = {
            "node": {"_node_content": json.dumps(NODE), "_node_type": "TextNode"},
            "broken": {"_record": "{", "text": "Still here."},
        }
        client.put_vectors(
            [{"key": key, "data": [0, 0, 1], "metadata": each} for key, each in stored.items()]
        )
    return path


def explain(path, *words):
    return call("explain", *words, "--local", path, "--index-name", "notes")


@pytest.mark.parametrize("width", WIDTHS)
def test_an_explanation_is_as_it_was_looked_at(notes, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    sections = {
        f"explain {words}": explain(notes, *words.split()).output
        for words in ("docs/solar", "node --neighbors 2", "broken --neighbors 0", "bare")
    }
    check_golden(width, "explain", sections)


def test_names_are_bold_where_a_terminal_can(notes, monkeypatch):
    # rich's own sequences are no text of a record, and are not written out
    monkeypatch.setenv("FORCE_COLOR", "1")
    words = ["explain", "docs/solar", "--local", str(notes), "--index-name", "notes"]
    shown = CliRunner().invoke(commands, words, color=True).stdout
    assert shown.startswith("\x1b[1mkey")
    assert "u001b" not in shown


def test_json_has_what_the_frameworks_themselves_return(notes):
    found = explain(notes, "docs/solar", "node", "--output-format", "json").json
    assert found["missing"] == []
    solar, node = found["records"]
    with OSSVectorClient.local(notes, index="notes") as client:
        (document,) = OSSVectorRetriever(client=client).invoke("docs/solar")
        (hit,) = LlamaIndexRetriever(client).retrieve("node")
    made = solar["document"]["Document"]
    assert (made["id"], made["page_content"]) == (document.id, document.page_content)
    assert made["metadata"] == document.metadata
    assert node["node"]["TextNode"]["text"] == hit.node.get_content()
    assert node["node"]["TextNode"]["metadata"] == hit.node.metadata
    assert solar["decoded_as"] == {"rung": "envelope", "field": "_record"}
    assert node["decoded_as"] == {"rung": "llama_index", "field": "_node_content"}
    assert solar["neighbors"][0]["key"] == "docs/wind"
    assert [one["outcome"] for one in node["ladder"]][:3] == ["absent", "decoded", "not reached"]
    sizes = {one["what"]: one["value"] for one in solar["sizes"]}
    assert (sizes["key"], sizes["data"]) == (len("docs/solar"), 3)
    assert solar["stored"]["metadata"]["year"] == "2024"


def test_what_is_missing_ends_with_a_status_and_the_rest_is_shown(notes):
    done = explain(notes, "gone", "bare", "--neighbors", 0, "--output-format", "json")
    assert done.status == 1
    assert "there is no vector 'gone' in index 'notes'" in done.errors
    assert [one["key"] for one in done.json["records"]] == ["bare"]
    assert done.json["missing"] == ["gone"]


@pytest.mark.parametrize("style", ["table", "json", "yaml", "jsonl"])
def test_what_stands_in_a_record_commands_no_terminal(tmp_path, style):
    hostile = "x\x1b]0;PWNED\x07\x9b31m\u202e\u2028"
    path = tmp_path / "hostile.db"
    metadata = {"text": hostile, hostile: hostile, "_node_content": hostile}
    with OSSVectorClient.local(path, index="notes") as client:
        client.put_vector_index(dimension=2)
        client.put_vectors([{"key": hostile, "data": [1, 2], "metadata": metadata}])
    done = explain(path, hostile, f"{hostile}gone", "--output-format", style)
    assert done.status == 1
    assert "PWNED" in done.output
    assert "PWNED" in done.errors
    assert CONTROLS.search(done.output + done.errors) is None


@pytest.mark.parametrize("style", ["table", "json"])
def test_values_that_json_lacks_are_shown_as_their_texts(notes, style):
    store = RecordStore(StoreSettings())
    typed = {"day": date(2024, 1, 2), "huge": 2**70, "price": Decimal("1.50")}
    with OSSVectorClient.local(notes, index="notes") as client:
        client.run(store.write, [store.encode("typed", [1, 2, 3], text="x", metadata=typed)])
    done = explain(notes, "typed", "--neighbors", 0, "--output-format", style)
    assert done.status == 0
    for text in ("2024-01-02", "1180591620717411303424", "1.50"):
        # of the record, of the Document and of the node
        assert done.output.count(text) >= 3
    with OSSVectorClient.local(notes, index="notes") as client:
        client.delete(["typed"])


def test_a_field_of_ones_own_may_hold_the_text(notes):
    words = ("plain", "--text-key", "title", "--neighbors", 0, "--output-format", "json")
    (record,) = explain(notes, *words).json["records"]
    assert record["text"] == "[red]no[/red]"
    assert record["decoded_as"] == {"rung": "text_key", "field": "title"}


def test_a_record_that_cannot_be_read_says_why(notes):
    words = ("broken", "--neighbors", 0, "--output-format", "json")
    (record,) = explain(notes, *words).json["records"]
    assert record["ladder"][0] == {"rung": "envelope", "field": "_record", "outcome": "broken"}
    assert record["text"] == "Still here."
    assert "problem" in record["document"]
    assert "JSON" in record["problem"]
