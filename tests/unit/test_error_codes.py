"""The table of error codes: complete, in order, and the page that is made of it."""

import os
import re
from pathlib import Path

import pytest

import oss_vector_retriever
from oss_vector_retriever.client import errors
from oss_vector_retriever.codes import ASSUMED, ERROR_CODES, SIGNATURE_FAULTS
from oss_vector_retriever.emulator.rules.refusals import Refusal, signature_fault

PACKAGE = Path(oss_vector_retriever.__file__).parent
PAGE = PACKAGE.parent / "docs" / "error-codes.md"
HEAD = f"""# Error codes

The codes that the service is known to refuse with, what this package raises for each, and where
each is known from: a page of the documentation with the month of its last change, or an official
SDK. For what has no date, the month of reading stands. `{ASSUMED}` marks codes of plain OSS that no
page on vector buckets names. A code that is not here is a `ServiceError`, from 500 on an
`InternalServiceError`, with `code`, `status`, `ec` and the service's message.

Where the service's page and an SDK, or plain OSS, name one refusal differently, one class catches
both. The embedded service sends the code that the page has.

"""
FAULTS = """
## Faults in signing

Which of them a request has, the service tells by its EC (`error.ec`, `x-oss-ec`); each is the name
of a support page. Those pages name no error code: `InvalidArgument`, 400, is assumed.

"""
FAULT_ROWS = SIGNATURE_FAULTS.values()


def page():
    """Return the page, made of the table."""
    lines = ["| code | HTTP | EC | operations | class | source |", "|---|---|---|---|---|---|"]
    for row in ERROR_CODES.values():
        source = row.source if row.date == "-" else f"{row.source}, {row.date}"
        cells = (row.code, str(row.status), row.ec or "-", row.operations, row.error, source)
        lines.append(f"| {' | '.join(cells)} |")
    faults = ["| EC | fault | date |", "|---|---|---|"]
    faults += [f"| {fault.ec} | {fault.message} | {fault.date} |" for fault in FAULT_ROWS]
    return HEAD + "\n".join(lines) + "\n" + FAULTS + "\n".join(faults) + "\n"


def test_the_page_shows_the_table():
    if "WRITE_DOCS" in os.environ:
        PAGE.write_text(page(), encoding="utf-8")
    shown = PAGE.read_text(encoding="utf-8")
    assert shown == page(), f"WRITE_DOCS=1 pytest {Path(__file__).name} writes {PAGE.name} anew"


def test_each_row_stands_once_and_in_order():
    for table in (ERROR_CODES, SIGNATURE_FAULTS):
        assert list(table) == sorted(table)
    # the tables are keyed by what makes a row: one that stood twice would be lost
    source = (PACKAGE / "codes.py").read_text(encoding="utf-8")
    assert source.count("    ErrorCode(") == len(ERROR_CODES)
    assert source.count("    SignatureFault(") == len(SIGNATURE_FAULTS)


@pytest.mark.parametrize("row", ERROR_CODES.values(), ids=lambda row: row.code)
class TestARow:
    def test_says_where_it_is_known_from(self, row):
        assert 400 <= row.status <= 599
        assert row.operations
        assert row.message.endswith(".")
        assert not row.ec or re.fullmatch(r"\d{4}-\d{8}", row.ec)
        assert (row.date == "-") is (row.source == ASSUMED)
        assert row.date == "-" or re.fullmatch(r"(read )?[A-Z][a-z]{2} 20\d\d", row.date)

    def test_names_the_class_that_the_client_raises(self, row):
        raised = errors.service_error_class(row.code, row.status)
        assert raised.__name__ == row.error
        assert issubclass(raised, errors.ServiceError)

    def test_is_what_the_emulator_refuses_with(self, row):
        refusal = Refusal(row.code, "Why.")
        assert (refusal.status, refusal.ec) == (row.status, row.ec)
        assert refusal.message == f"{row.message} Why."


@pytest.mark.parametrize("fault", FAULT_ROWS, ids=lambda fault: fault.ec)
def test_a_fault_in_signing_is_refused_with_its_ec(fault):
    refusal = signature_fault(fault.ec)
    assert (refusal.status, refusal.code, refusal.ec) == (400, "InvalidArgument", fault.ec)
    assert fault.message in refusal.message


def written(pattern):
    texts = (path.read_text(encoding="utf-8") for path in (PACKAGE / "emulator").rglob("*.py"))
    return {found for text in texts for found in re.findall(pattern, text)}


def test_the_emulator_refuses_with_codes_of_the_table_alone():
    sent = written(r'Refusal\(\s*"(\w+)"') | {"EntityTooLarge", "VectorIndexParameterInvalid"}
    assert len(sent) > 20
    assert sent <= ERROR_CODES.keys()
    assert written(r'"(0002-\d{8})"') == SIGNATURE_FAULTS.keys()


def test_of_two_spellings_the_emulator_sends_that_of_the_page():
    sent = written(r'"(\w+)"')
    assert {"VectorBucketNotEmpty", "InvalidVectorBucketName"} <= sent
    assert not {"BucketNotEmpty", "InvalidBucketName"} & sent
