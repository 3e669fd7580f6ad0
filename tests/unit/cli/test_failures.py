"""Errors in the command line's words, and the statuses they end with."""

import pytest

from oss_vector_retriever.cli.errors import PARTIAL, Failure, failure_of, in_flags
from oss_vector_retriever.cli.rendering import written
from oss_vector_retriever.client import errors
from oss_vector_retriever.client.config import resolve_config
from oss_vector_retriever.client.credentials import EnvironmentSource
from oss_vector_retriever.client.errors import BatchReport, WriteReport


@pytest.mark.parametrize(
    ("python", "said"),
    [
        ("No index: pass index= or set X.", "No index: pass --index-name or set X."),
        (
            "pass either endpoint= or internal=True, not",
            "pass either --endpoint or --internal, not",
        ),
        ('credentials="chain" needs', "--credentials chain needs"),
        ("make it: client.put_vector_bucket().", "make it: oss-vectors put-vector-bucket."),
        (
            "make it: client.put_vector_index(dimension=...).",
            "make it: oss-vectors put-vector-index --dimension N.",
        ),
        ("max_bucket=3 and a=b stay", "max_bucket=3 and a=b stay"),
    ],
)
def test_arguments_become_flags(python, said):
    assert in_flags(python) == said


@pytest.mark.parametrize(
    "settings",
    [{}, {"region": "oss-x"}, {"region": "x", "endpoint": "http://example.com"}, {"region": "a/b"}],
)
def test_no_message_about_settings_speaks_python(settings):
    with pytest.raises(errors.ConfigurationError) as caught:
        resolve_config(**{"bucket": "bucket", "account_id": "1", **settings})
    assert "=" not in failure_of(caught.value).message


def test_missing_credentials_are_asked_for_by_flag():
    with pytest.raises(errors.ConfigurationError) as caught:
        EnvironmentSource({}).resolve()
    assert "pass --credentials chain (profiles, RAM roles and OIDC)" in in_flags(str(caught.value))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.ConfigurationError("x"), 2),
        (errors.InvalidRequestError("x"), 2),
        (errors.ServiceError("AccessDenied", 403), 1),
        (errors.TransportError("x"), 1),
        (errors.DeadlineExceededError("x"), 1),
        (errors.ResponseError("x"), 1),
        (OSError(28, "No space left on device", "f"), 1),
        (OSError(2, "No such file or directory", "f"), 2),
        (ModuleNotFoundError("x", name="pyarrow"), 2),
    ],
)
def test_each_kind_of_error_has_a_status(error, status):
    assert failure_of(error).exit_code == status


def test_an_error_that_nobody_foresaw_is_not_hidden():
    assert failure_of(ValueError("x")) is None
    assert failure_of(ModuleNotFoundError("x", name="ours")) is None


def test_a_write_that_failed_in_part_says_how_much():
    failed = errors.ServiceError("QpsLimitExceeded", 503, "Slow down.")
    report = WriteReport((BatchReport(("a", "b"), "id"), BatchReport(("c",), error=failed)))
    with pytest.raises(Failure, match=r"1 of 3 keys failed, 'c' first: QpsLimitExceeded") as caught:
        written(report)
    assert caught.value.exit_code == PARTIAL


def test_a_write_of_which_nothing_succeeded_is_the_services_error():
    failed = errors.ServiceError("QpsLimitExceeded", 503, "Slow down.")
    with pytest.raises(errors.ServiceError):
        written(WriteReport((BatchReport(("c",), error=failed),)))
    assert written(WriteReport(())) is None
