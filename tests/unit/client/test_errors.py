"""The error tree: one root, drawn in its docstring, every error whole after a pickle."""

import ast
import copy
import inspect
import pickle
from pathlib import Path
from string import Formatter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oss_vector_retriever
from oss_vector_retriever import OSSVectorClient, OSSVectorError
from oss_vector_retriever.client import errors
from oss_vector_retriever.client.endpoint import parse_endpoint
from oss_vector_retriever.client.errors import BatchReport, WriteReport, quote

TREE = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, OSSVectorError)
]


def example_of(kind):
    if issubclass(kind, errors.ServiceError):
        return kind("Code", 404, "Said so.", "R1", "EC1")
    if issubclass(kind, errors.MissingKeysError | errors.ConflictError):
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
    searched = ("vectors", 4, 1, 500, 0, "the time was up", "Pass {timeout=}.")
    return kind(*(searched if issubclass(kind, errors.IncompleteSearchWarning) else ("wrong",)))


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
    assert quote("short") == "'short'"
    assert quote("x" * 1000).startswith("'xxxxxxxx")
    assert len(quote("x" * 1000)) < 120


CARRIERS = [errors.ConfigurationError, errors.InvalidRequestError]


@pytest.mark.parametrize("kind", CARRIERS)
def test_an_error_carries_its_argument_value_limit_and_remedy(kind):
    error = kind(
        "{argument} takes 1 to {limit:,}, not {value}",
        argument="top_k",
        value=5000,
        limit=1000,
        remedy="pass {argument}={limit}, or {more}",
        fields={"more": "list"},
    )
    assert (error.argument, error.value, error.limit) == ("top_k", "5000", 1000)
    assert error.remedy == "pass top_k=1000, or list"
    assert str(error) == "top_k takes 1 to 1,000, not 5000; pass top_k=1000, or list."
    assert error.args == (str(error),)


@pytest.mark.parametrize("kind", CARRIERS)
def test_an_error_about_nothing_in_particular_carries_nothing(kind):
    error = kind("{a} = {0!r}")
    assert (error.argument, error.value, error.limit, error.remedy) == (None, None, None, "")
    assert str(error) == "{a} = {0!r}"


@pytest.mark.parametrize("value", ["{argument}", "{0.__class__}", "}{", "{{x}}", "%s", {"{": "}"}])
def test_braces_of_a_user_are_only_braces(value):
    error = errors.InvalidRequestError("{argument} is not {value}", argument="k", value=value)
    assert str(error) == f"k is not {value!r}"
    assert error.render(lambda reference: f"<{reference.kind}>") == "<argument> is not <value>"


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
)
def test_what_an_error_carries_travels_with_it(copied):
    inner = errors.QpsLimitExceededError("QpsLimitExceeded", 503)
    error = errors.InvalidRequestError(
        "{argument}: {inner}",
        argument="keys",
        value=object(),
        limit=3,
        remedy="use {index=}",
        fields={"inner": inner},
    )
    again = copied(error)
    for name in ("argument", "value", "limit", "remedy"):
        assert getattr(again, name) == getattr(error, name)
    assert str(again) == str(error)
    assert again.render(word) == error.render(word)


def word(reference):
    return f"<{reference.name}>"


@pytest.mark.parametrize("argument", ["credentials", "proxy", "endpoint"])
def test_what_may_hold_a_secret_is_no_value(argument):
    error = errors.ConfigurationError("{argument} is no good", argument=argument, value="canary")
    assert error.value is None
    assert "canary" not in repr(vars(error)) + str(error)


def test_a_password_in_an_address_is_not_repeated():
    with pytest.raises(errors.ConfigurationError) as caught:
        parse_endpoint("https://user:canary@example.com")
    assert "canary" not in str(caught.value) + repr(vars(caught.value))
    assert caught.value.argument == "endpoint"


def test_a_long_value_is_cut():
    error = errors.InvalidRequestError("no {value}", argument="keys", value="x" * 10_000)
    assert len(error.value) < 120
    assert len(pickle.dumps(error)) < 2_000


def test_a_value_that_nothing_can_write_is_shown_as_python_does():
    endless = []
    endless.append(endless)
    error = errors.InvalidRequestError("no {value}", argument="keys", value=endless)
    assert error.render(word) == "no <[[...]]>"


@pytest.mark.parametrize(
    ("reference", "python"),
    [
        (errors.refer("index"), "index"),
        (errors.refer("index="), "index="),
        (errors.refer("internal=True"), "internal=True"),
        (errors.refer("put_vector_bucket()"), "client.put_vector_bucket()"),
        (errors.refer("put_vector_index(dimension)"), "client.put_vector_index(dimension=...)"),
        (errors.refer("mapping"), "a dict"),
    ],
)
def test_a_reference_is_worded_for_python(reference, python):
    assert str(reference) == python


def test_advice_is_data_that_another_reader_words():
    error = errors.NoSuchVectorIndexError("NoSuchVectorIndex", 404)
    assert error.advice == (
        "Check the index name, or make it: client.put_vector_index(dimension=...)."
    )
    assert error.render_advice(word) == "Check <index_name>, or make it: <put_vector_index>."
    assert error.render(word) == f"NoSuchVectorIndex. {error.render_advice(word)} [HTTP 404]"
    assert errors.ServiceError("Code").advice == ""


def test_errors_within_an_error_are_worded_for_the_same_reader():
    last = errors.QpsLimitExceededError("QpsLimitExceeded", 503)
    report = WriteReport((BatchReport(("a",), "id"), BatchReport(("b",), error=last)))
    assert "<fewer_requests>" in errors.PartialWriteError(report).render(word)


def raised_with_data():
    """Yield each call in the package that makes an error with data."""
    names = {kind.__name__ for kind in CARRIERS}
    for path, node in NODES:
        called = getattr(node, "func", None)
        if isinstance(called, ast.Name) and called.id in names and node.keywords:
            yield f"{path.name}:{node.lineno}", node


def is_known(name):
    """Return whether a template's word without a field is an argument, a method or a phrase."""
    argument = name.partition("=")[0]
    method = name.partition("(")[0]
    return name in errors._PHRASES or argument in ARGUMENTS or method in vars(OSSVectorClient)


SOURCES = [*Path(oss_vector_retriever.__file__).parent.rglob("*.py")]
# Not every node: each process that collects these tests would keep a million objects.
NODES = [
    (path, node)
    for path in SOURCES
    for node in ast.walk(ast.parse(path.read_text("utf-8")))
    if isinstance(node, ast.arg | ast.Call)
]
ARGUMENTS = {node.arg for _, node in NODES if isinstance(node, ast.arg)}
RAISED = dict(raised_with_data())


@pytest.mark.parametrize("place", RAISED)
def test_a_message_with_data_is_a_constant_template_of_what_is_given(place):
    call = RAISED[place]
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    fields = keywords.pop("fields", None)
    given = set(keywords) | ({"kind", "a_kind"} if "value" in keywords else set())
    if isinstance(fields, ast.Dict):
        given |= {key.value for key in fields.keys if key is not None}
    texts = [*call.args, *([keywords["remedy"]] if "remedy" in keywords else [])]
    for text in texts:
        # an f-string would parse what a user has written
        assert not isinstance(text, ast.JoinedStr), place
        if isinstance(text, ast.Constant) and (fields is None or isinstance(fields, ast.Dict)):
            names = {name for _, name, _, _ in Formatter().parse(text.value) if name}
            assert {name for name in names - given if not is_known(name)} == set(), place
