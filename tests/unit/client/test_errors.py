"""The error tree: one root, drawn in its docstring, every error whole after a pickle."""

import copy
import inspect
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oss_vector_retriever
from oss_vector_retriever import OSSVectorError
from oss_vector_retriever.client import errors
from oss_vector_retriever.client.errors import BatchReport, WriteReport, shown

TREE = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, OSSVectorError)
]


def example_of(kind):
    if issubclass(kind, errors.ServiceError):
        return kind("Code", 404, "Said so.", "R1", "EC1")
    if issubclass(kind, errors.MissingKeysError):
        return kind(["a", "b"])
    if issubclass(kind, errors.ResponseError):
        error = kind("nonsense", 200, "R1")
        error.unreadable = True
        return error
    if issubclass(kind, errors.TransportError):
        return kind("broke", "closed")
    if issubclass(kind, errors.PartialWriteError):
        broke = errors.TransportError("broke", "closed")
        return kind(WriteReport((BatchReport(("a",), "R1"), BatchReport(("b",), None, broke))))
    return kind("wrong")


def test_every_error_is_exported():
    exported = {getattr(oss_vector_retriever, name) for name in oss_vector_retriever.__all__}
    assert set(TREE) <= exported


def test_the_tree_in_the_docstring_is_the_tree():
    parents = []
    for line in inspect.getdoc(errors).splitlines():
        drawn = line.replace("│", " ").replace("├──", "   ").replace("└──", "   ")
        words = drawn.split()
        if not words or not words[0].endswith("Error"):
            continue
        depth = (len(drawn) - len(drawn.lstrip()) - 4) // 4
        kind = getattr(errors, words[0])
        parents = [*parents[:depth], kind]
        if depth:
            assert issubclass(kind, parents[depth - 1])
            assert parents[depth - 1] in kind.__bases__
        assert all(base.__name__ in line for base in kind.__bases__ if base in BUILTINS)
    drawn_names = {w for line in inspect.getdoc(errors).splitlines() for w in line.split()}
    assert {kind.__name__ for kind in TREE} <= drawn_names


BUILTINS = (ValueError, LookupError, TimeoutError)


@pytest.mark.parametrize("kind", TREE)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_a_pickle_with_all_it_carries(kind, protocol):
    error = example_of(kind)
    error.attempts, error.elapsed = 3, 1.5
    error.errors = (example_of(errors.QpsLimitExceededError), example_of(errors.TransportError))
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is kind
    assert (str(again), again.args) == (str(error), error.args)
    assert [(type(e), str(e)) for e in again.errors] == [(type(e), str(e)) for e in error.errors]
    for name, value in vars(error).items():
        assert name == "errors" or repr(getattr(again, name)) == repr(value)


@pytest.mark.parametrize("kind", TREE)
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_an_error_can_be_copied(kind, copied):
    error = example_of(kind)
    assert (type(copied(error)), str(copied(error))) == (kind, str(error))


@pytest.mark.parametrize("kind", TREE)
def test_a_new_error_tells_of_no_attempt(kind):
    error = example_of(kind)
    assert (error.attempts, error.elapsed, error.errors) == (0, 0.0, ())
    assert str(error)


def test_the_standard_librarys_own_bases_catch_ours():
    assert issubclass(errors.ConfigurationError, ValueError)
    assert issubclass(errors.InvalidRequestError, ValueError)
    assert issubclass(errors.MissingKeysError, LookupError)
    assert issubclass(errors.DeadlineExceededError, TimeoutError)


def test_a_deadline_that_passed_keeps_its_message_among_the_systems_errors():
    error = errors.DeadlineExceededError("GetVectors did not end", "deadline")
    assert str(error) == "GetVectors did not end"
    assert (error.kind, error.errno) == ("deadline", None)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.ServiceError("Code"), "Code."),
        (errors.ServiceError("Code", 400, "Why."), "Code: Why. [HTTP 400]"),
        (
            errors.NoSuchVectorIndexError("NoSuchVectorIndex", 404, "", "R1"),
            (
                "NoSuchVectorIndex. Check the index name, or make it: "
                "client.put_vector_index(dimension=...). [HTTP 404, request id R1]"
            ),
        ),
        (errors.ResponseError("Nonsense.", 200, "R1"), "Nonsense. [HTTP 200, request id R1]"),
        (errors.ResponseError("Nonsense."), "Nonsense."),
        (errors.MissingKeysError(["a"]), "1 of the keys do not exist: 'a'"),
    ],
)
def test_what_an_error_says(error, text):
    assert str(error) == text


def test_many_missing_keys_are_counted_not_listed():
    error = errors.MissingKeysError(["k" * 1000 + str(n) for n in range(5000)])
    assert str(error).endswith(" and 4995 more")
    assert len(str(error)) < 700
    assert len(error.missing) == 5000


@settings(derandomize=True)
@given(
    st.builds(
        errors.ServiceError,
        st.text(),
        st.integers(),
        st.text(),
        st.none() | st.text(),
        st.none() | st.text(),
    )
)
def test_the_text_of_an_error_never_raises(error):
    assert isinstance(str(error) + repr(error) + f"{error}", str)


def test_what_is_shown_of_a_value_is_cut():
    assert shown("short") == "'short'"
    assert shown("x" * 1000).startswith("'xxxxxxxx")
    assert len(shown("x" * 1000)) < 120
