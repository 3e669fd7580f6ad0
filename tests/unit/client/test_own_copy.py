"""One error that several are told becomes as many objects, and none shows another's frames."""

import json
import traceback

import pytest

from oss_vector_retriever import MissingKeysError, NoSuchVectorIndexError, OSSVectorError
from oss_vector_retriever.client.credentials import CallableSource
from oss_vector_retriever.client.errors import TransportError, own_copy


class PlainError(Exception):
    pass


class OtherConstructorError(Exception):
    def __init__(self, code, *, why):
        super().__init__(f"{code}: {why}")
        self.code = code


class WrappingError(Exception):
    def __init__(self, text):
        super().__init__(f"failed: {text}")


class UncopyableError(Exception):
    def __copy__(self):
        return self

    def __new__(cls, *, why):  # noqa: ARG004 - it is what makes a copy impossible
        return super().__new__(cls)

    def __init__(self, *, why):
        super().__init__(why)


class SilentError(Exception):
    def __str__(self):
        raise ValueError("no text")


def json_error():
    try:
        json.loads("{")
    except ValueError as error:
        return error


def unicode_error():
    try:
        b"\xff".decode()
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        PlainError("a", 2),
        OtherConstructorError(7, why="because"),
        WrappingError("it"),
        KeyError("a"),
        OSError(2, "not there", "a file"),
        json_error(),
        unicode_error(),
        ImportError("no", name="it"),
        ExceptionGroup("several", [PlainError("one")]),
        MissingKeysError(["a"]),
        NoSuchVectorIndexError("NoSuchVectorIndex", 404, "no such", "id-1"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_copy_is_like_the_error_and_is_another_object(error):
    copied = own_copy(error)
    assert copied is not error
    assert type(copied) is type(error)
    assert (str(copied), copied.args) == (str(error), error.args)
    assert vars(copied) == vars(error)


@pytest.mark.parametrize("error", [UncopyableError(why="so"), SilentError()])
def test_what_cannot_be_copied_is_named_and_is_the_cause(error):
    copied = own_copy(error)
    assert type(copied) is OSSVectorError
    assert type(error).__name__ in str(copied)
    assert copied.__cause__ is error


def raised(error):
    try:
        raise error  # noqa: TRY301 - the raise makes the traceback
    except Exception as caught:  # noqa: BLE001 - it is looked at
        return caught


def test_a_copy_has_no_frames_and_grows_none_in_the_others():
    error = raised(PlainError("a"))
    one, other = own_copy(error), own_copy(error)
    assert one.__traceback__ is None
    for _ in range(3):
        raised(one)
    assert len(traceback.extract_tb(one.__traceback__)) == 3
    assert other.__traceback__ is None


def failing_callable():
    raise PlainError("from the callable")


def test_a_copy_keeps_the_frames_of_a_credentials_callable_and_no_others():
    try:
        CallableSource(failing_callable).resolve()
    except PlainError as error:
        copied = own_copy(error)
    assert [frame.name for frame in traceback.extract_tb(copied.__traceback__)] == [
        "failing_callable"
    ]


def test_causes_notes_and_earlier_attempts_are_copied_too():
    cause = raised(PlainError("cause"))
    earlier = TransportError("earlier", "closed")
    error = TransportError("broke", "closed")
    error.__cause__ = cause
    error.errors = (earlier,)
    error.add_note("seen")
    copied = own_copy(error)
    assert (type(copied.__cause__), copied.__cause__.args) == (PlainError, ("cause",))
    assert copied.__cause__ is not cause
    assert copied.__cause__.__traceback__ is None
    assert str(copied.errors[0]) == "earlier"
    assert copied.errors[0] is not earlier
    copied.add_note("mine")
    assert error.__notes__ == ["seen"]


def test_a_context_stays_as_it_is_shown_and_a_circle_of_causes_ends():
    hidden, shown = PlainError("hidden"), PlainError("shown")
    hidden.__context__ = shown.__context__ = PlainError("context")
    hidden.__suppress_context__ = True
    assert own_copy(hidden).__suppress_context__
    assert own_copy(hidden).__context__ is None
    assert own_copy(shown).__context__.args == ("context",)
    one, other = PlainError("one"), PlainError("other")
    one.__cause__, other.__cause__ = other, one
    copied = own_copy(one)
    assert copied.__cause__.__cause__ is copied
