"""What each command prints as a table, letter by letter, at 80 and at 120 columns.

`explain` stands in tests/adapters, beside LlamaIndex, whose node it shows.
"""

import pytest
from support.command_fixtures import no_settings  # noqa: F401 - a fixture
from support.command_line import call
from support.golden_tables import WIDTHS, check_golden, make_notes

from oss_vector_retriever.cli import rendering
from oss_vector_retriever.cli.catalogue import SECTIONS
from oss_vector_retriever.cli.commands import doctor
from oss_vector_retriever.client.models.results import FusedVector, QueryVectorsFusionResult

BODY = '{"indexName": "notes"}'
COMMANDS = [
    "get-vectors --keys docs/solar,plain,bare,gone --return-data --return-metadata",
    "get-vectors --keys docs/solar,plain,bare,gone --as-document",
    "get-vectors --keys gone",
    "list-vectors",
    "list-vectors --max-results 2 --return-metadata",
    "list-vectors --return-data --as-document",
    "list-vectors --index-name longkeys --return-data --return-metadata",
    "query-vectors --key docs/solar --return-distance",
    "query-vectors --query-vector [1,0,0] --return-distance --return-metadata",
    "query-vectors --query-vector [1,0,0] --return-distance --as-document",
    "get-vector-index",
    "get-vector-index --wide",
    "list-vector-indexes",
    "list-vector-indexes --wide",
    "get-vector-bucket",
    "get-vector-bucket --wide",
    "list-vector-buckets",
    "list-vector-buckets --wide",
    "get-vectors --keys docs/solar --return-metadata --wide",
    "get-bucket-policy",
    "get-bucket-logging",
    "invoke-operation --op-name X --method POST --parameters getVectorIndex --body BODY",
    "doctor",
]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("golden") / "notes.db"
    make_notes(path)
    return path


def print_command(line, path):
    """Return what a command prints as a table."""
    words = [BODY if word == "BODY" else word for word in line.split()]
    done = call(*words, "--local", path, "--output-format", "table")
    assert (done.status, done.errors) == (0, "")
    return done.output


@pytest.mark.parametrize("width", WIDTHS)
def test_each_table_is_as_it_was_looked_at(path, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("OSS_VECTORS_INDEX", "notes")
    # of a fetch nobody knows how long it takes
    monkeypatch.setattr(doctor.time, "monotonic", lambda: 0.0)
    sections = {line: print_command(line, path) for line in COMMANDS}
    check_golden(width, "commands", sections)


@pytest.mark.parametrize("width", WIDTHS)
def test_hits_of_a_fusion_are_as_they_were_looked_at(monkeypatch, capsys, width):
    monkeypatch.setenv("COLUMNS", str(width))
    hits = (FusedVector("docs/solar", 0.98765, {"title": "Solar"}), FusedVector("plain", 1e-7, {}))
    page = QueryVectorsFusionResult(hits, "token", "id")
    rendering.print_document(rendering.HITS(page), "table")
    check_golden(width, "fusion", {"query-vectors-fusion ...": capsys.readouterr().out})


def test_every_command_that_prints_a_table_is_looked_at():
    shown = {line.split()[0] for line in COMMANDS}
    # `doctor` and `explain` have a flag of their own
    printing = {
        entry.name
        for entries in SECTIONS.values()
        for entry in entries
        if entry.operation is not None
        and entry.operation.show not in (None, rendering.raise_failures)
    }
    assert printing | {"doctor", "invoke-operation"} == shown | {"query-vectors-fusion"}
