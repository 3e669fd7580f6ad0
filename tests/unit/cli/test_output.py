"""What is printed: JSON, JSON lines, tables, and parts of them."""

import json
import xml.etree.ElementTree as ET

import pytest
import yaml
from support.command_line import call

from oss_vector_retriever.cli import tables
from oss_vector_retriever.cli.rendering import Document, print_document, print_table
from oss_vector_retriever.client.errors import CONTROLS

BOTH = ("--keys", "c,gone", "--key", "a,b", "--return-data", "--return-metadata=true")


def test_get_vectors_prints_what_the_api_would(stored):
    assert call("get-vectors", *stored, *BOTH).json == {
        "vectors": [
            {"key": "c", "data": {"float32": [3.0, 4.0]}, "metadata": {}},
            {
                "key": "a,b",
                "data": {"float32": [1.0, 2.0]},
                "metadata": {"title": "[red]markup[/red]"},
            },
        ],
        "missing": ["gone"],
    }


def test_json_lines_hold_an_entry_each_and_leave_the_rest_to_stderr(stored):
    done = call("get-vectors", *stored, *BOTH, "--output-format", "jsonl")
    assert [line["key"] for line in done.lines] == ["c", "a,b"]
    assert done.errors == "missing: gone\n"


def test_in_a_table_nothing_is_markup(stored):
    done = call("get-vectors", *stored, *BOTH, "--output-format", "table")
    assert "title: [red]markup[/red]" in done.output
    assert "[+1.000, +2.000] 2 float32" in done.output
    assert "missing: gone" in done.output


def test_in_a_table_nothing_commands_the_terminal(capsys):
    print_table(Document({}, [{"key": "\x1b[31mred\u202e", "metadata": {"\x9b2J": "\x07"}}]))
    printed = capsys.readouterr().out
    assert not set(printed) & set("\x1b\x9b\x07\u202e")
    assert "[31mred" in printed


def test_a_table_of_a_list_has_a_column_for_each_member():
    drawn = tables.draw_entries([{"a": 1, "b": None}, {"c": [1.5]}, "x"])
    for expected in ("a", "b", "c", "value", "-", "[1.5]", "x"):
        assert expected in drawn


def test_a_description_is_a_table_of_names_and_values(stored):
    done = call("get-vector-index", *stored, "--output-format", "table")
    rows = [line.strip("│").split("│") for line in done.output.splitlines() if line[0] == "│"]
    assert {name.strip(): value.strip() for name, value in rows}["dimension"] == "2"


@pytest.mark.parametrize("width", [24, 30, 40, 60])
@pytest.mark.parametrize("name", ["get-vector-index", "list-vector-indexes", "list-vectors"])
def test_in_a_narrow_window_nothing_is_lost(stored, monkeypatch, width, name):
    monkeypatch.setenv("COLUMNS", str(width))
    done = call(name, *stored[:2], *(stored[2:] if "indexes" not in name else ()),
                *(("--return-metadata", "--return-data") if name == "list-vectors" else ()),
                "--output-format", "table")  # fmt: skip
    lines = done.output.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in done.output
    expected = "[red]markup[/red]" if name == "list-vectors" else "enable"
    assert expected in "".join(line.strip(" │") for line in lines)


@pytest.mark.parametrize(
    ("query", "style", "printed"),
    [
        ("vectors[].key", "json", ["c", "a,b"]),
        ("vectors[?key=='c'].data.float32 | [0]", "json", [3.0, 4.0]),
        ("length(vectors)", "json", 2),
        ("missing[0]", "json", "gone"),
        ("nothing", "json", None),
    ],
)
def test_a_query_picks_a_part_of_the_json(stored, query, style, printed):
    done = call("get-vectors", *stored, *BOTH, "--output-query", query, "--output-format", style)
    assert done.json == printed


def test_what_a_query_picks_can_be_lines_or_a_table(stored):
    picked = ("get-vectors", *stored, *BOTH, "--output-query", "vectors[].{name: key}")
    assert call(*picked, "--output-format", "jsonl").lines == [{"name": "c"}, {"name": "a,b"}]
    assert "name" in call(*picked, "--output-format", "table").output


@pytest.mark.parametrize(
    ("query", "said"),
    [("vectors[", "--output-query'"), ("abs(missing)", "--output-query: In function abs()")],
)
def test_a_query_that_cannot_be_is_a_wrong_use(stored, query, said):
    done = call("get-vectors", *stored, *BOTH, "--output-query", query)
    assert done.status == 2
    assert said in done.errors


def test_a_page_says_where_the_next_begins(stored):
    first = call("list-vectors", *stored, "--max-results", 1).json
    assert [vector["key"] for vector in first["vectors"]] == ["a,b"]
    rest = call("list-vectors", *stored, "--next-token", first["nextToken"])
    assert rest.json == {"vectors": [{"key": "c"}]}
    drawn = call("list-vectors", *stored, "--max-results", 1, "--output-format", "table").output
    assert f"more: --next-token {first['nextToken']}, or --all" in drawn


@pytest.mark.parametrize("style", ["json", "jsonl", "table"])
def test_all_pages_are_one_answer(stored, style):
    done = call("list-vectors", *stored, "--max-results", 1, "--all", "--output-format", style)
    assert "a,b" in done.output
    assert '"c"' in done.output or "│ c" in done.output
    assert "nextToken" not in done.output + done.errors
    if style == "json":
        assert json.loads(done.output) == {"vectors": [{"key": "a,b"}, {"key": "c"}]}


ODD = {
    "plain": [1, 2.5, True, None, [], {}, [[1, 2]]],
    "中文": "é\u202eevil\x1b[31m\x85\u2028",
    "bidi": "a\u202eb",
    "text": "a: b\n- c\t#",
    "n": "1",
    "no": "no",
    "$x y": {"<&>\"'": "<b>&"},
}


def test_yaml_is_read_back_as_what_json_says(capsys):
    for value in (ODD, "text", [1], None, {**ODD, "n": "plain 中"}):
        print_document(Document(value, [value]), "yaml")
        printed = capsys.readouterr().out
        assert yaml.safe_load(printed) == value
        assert not CONTROLS.search(printed)
    assert "中" in printed or "\\u4E2D" in printed


def test_yaml_of_ordinary_words_is_readable(capsys):
    print_document(Document({"b": "中文", "a": 1}, []), "yaml")
    assert capsys.readouterr().out == "b: 中文\na: 1\n"


def test_xml_has_a_root_repeats_lists_and_names_what_xml_cannot(capsys):
    print_document(Document(ODD, [ODD]), "xml")
    printed = capsys.readouterr().out
    assert not CONTROLS.search(printed)
    root = ET.fromstring(printed)
    assert root.tag == "root"
    texts = [element.text for element in root.findall("plain")]
    assert texts[:4] == ["1", "2.5", "true", "null"]
    assert [item.text for item in root.findall("plain/item/item")] == ["1", "2"]
    by_name = {element.get("name"): element for element in root.findall("member")}
    assert by_name["中文"].text.startswith("é\\u202eevil\\u001b[31m")
    inner = by_name["$x y"].find("member")
    assert (inner.get("name"), inner.text) == ("<&>\"'", "<b>&")


@pytest.mark.parametrize("style", ["yaml", "xml"])
def test_a_part_is_printed_in_every_form(stored, style):
    words = ("--output-query", "vectors[].key", "--output-format", style)
    printed = call("get-vectors", *stored, *BOTH, *words).output
    shown = {
        "yaml": "- c\n- a,b\n",
        "xml": "<root>\n  <item>c</item>\n  <item>a,b</item>\n</root>\n",
    }
    assert printed == shown[style]


def test_packed_data_are_numbers_in_every_form(stored):
    printed = call("get-vectors", *stored, *BOTH, "--output-format", "xml").output
    values = [element.text for element in ET.fromstring(printed).iter("float32")]
    assert [float(value) for value in values] == [3.0, 4.0, 1.0, 2.0]
    printed = call("get-vectors", *stored, *BOTH, "--output-format", "yaml").output
    assert yaml.safe_load(printed) == call("get-vectors", *stored, *BOTH).json
