"""What a user sees of both clients: in an editor, in `help()`, in a generated documentation."""

import inspect
import pydoc
import sys
from pathlib import Path

import griffe
import jedi
import pytest

import oss_vector_retriever

ROOT = Path(__file__).parents[2]
CLIENTS = ["OSSVectorClient", "AsyncOSSVectorClient"]


def public_methods(client):
    """Return the names of a client's public methods."""
    owner = getattr(oss_vector_retriever, client)
    return [
        name for name in dir(owner) if not name.startswith("_") and callable(getattr(owner, name))
    ]


METHODS = [(client, name) for client in CLIENTS for name in public_methods(client)]


def test_both_clients_have_the_methods_of_the_api():
    for client in CLIENTS:
        assert {"fetch", "stream", "upsert", "get_vectors", "close"} <= set(public_methods(client))


# Jedi stands behind many editors and IPython


@pytest.fixture(scope="module")
def editor():
    """Give what opens a file in an editor without a type checker."""
    project = jedi.Project(ROOT)
    # A process of its own, as editors have it: in this one the package is loaded already.
    environment = jedi.create_environment(sys.executable, safe=False)
    return lambda code: jedi.Script(code, project=project, environment=environment)


SYNC = "from oss_vector_retriever import OSSVectorClient\nclient = OSSVectorClient()\n"
ASYNC = "from oss_vector_retriever import AsyncOSSVectorClient\nclient = AsyncOSSVectorClient()\n"


@pytest.mark.parametrize(
    "code",
    [
        f'{SYNC}client.fetch(["a"]).',
        f'{SYNC}result = client.fetch(["a"])\nresult.',
        f'{ASYNC}async def main():\n    (await client.fetch(["a"])).',
    ],
    ids=["sync", "by name", "async"],
)
def test_an_editor_completes_the_result_of_a_fetch(editor, code):
    completed = {one.name for one in editor(code).complete()}
    assert {"missing", "aligned", "matrix", "by_key"} <= completed


@pytest.mark.parametrize("client", CLIENTS)
def test_an_editor_completes_the_methods_of_a_client(editor, client):
    code = f"from oss_vector_retriever import {client}\n{client}()."
    assert set(public_methods(client)) <= {one.name for one in editor(code).complete()}


@pytest.mark.parametrize("made", ["local()", "from_settings(settings)", "local().with_options()"])
def test_an_editor_knows_a_client_however_it_is_made(editor, made):
    code = f"from oss_vector_retriever import OSSVectorClient\nOSSVectorClient.{made}."
    assert {"fetch", "stream"} <= {one.name for one in editor(code).complete()}


@pytest.mark.parametrize(("client", "method"), METHODS)
def test_an_editor_shows_a_methods_signature_and_documentation(editor, client, method):
    code = f"from oss_vector_retriever import {client}\n{client}().{method}("
    (shown,) = editor(code).get_signatures()
    assert [one.name for one in shown.params] == parameters_at_run_time(client, method)
    assert shown.docstring(raw=True)


def parameters_at_run_time(client, method):
    owner = getattr(oss_vector_retriever, client)
    names = list(inspect.signature(getattr(owner, method)).parameters)
    # A class method comes without its class, another method with the `self` of its function.
    return [name for name in names if name != "self"]


# griffe stands behind documentation generators; it reads the source alone


@pytest.fixture(scope="module")
def source():
    """Give the package as its source shows it; nothing is imported."""
    return griffe.load("oss_vector_retriever", search_paths=[ROOT], allow_inspection=False)


@pytest.mark.parametrize(("client", "method"), METHODS)
def test_the_source_shows_a_methods_signature_and_documentation(source, client, method):
    member = source[client].all_members[method]
    assert member.is_function, f"shown as {member.kind.value}"
    names = [one.name.lstrip("*") for one in member.parameters if one.name not in {"self", "cls"}]
    assert names == parameters_at_run_time(client, method)
    assert member.returns is not None
    assert member.has_docstring


# `help` and `inspect`


@pytest.mark.parametrize(("client", "method"), METHODS)
def test_inspect_shows_a_methods_types_and_documentation(client, method):
    function = getattr(getattr(oss_vector_retriever, client), method)
    signature = inspect.signature(function)
    untyped = [
        one.name
        for one in signature.parameters.values()
        if one.annotation is one.empty and one.name != "self"
    ]
    assert untyped == []
    assert signature.return_annotation is not signature.empty
    assert inspect.getdoc(function)
    awaited = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    assert awaited or client == "OSSVectorClient" or method in NEVER_AWAITED


NEVER_AWAITED = {
    "from_settings",
    "local",
    "refuse_if_closed",
    "stats",
    "stream",
    "to_sync",
    "usable_here",
    "with_options",
    "iter_vectors",
    "iter_vector_indexes",
    "iter_vector_buckets",
}


@pytest.mark.parametrize("client", CLIENTS)
def test_help_shows_each_method_as_one(client):
    text = pydoc.render_doc(getattr(oss_vector_retriever, client), renderer=pydoc.plaintext)
    data = text.partition("Data descriptors")[2]
    for method in public_methods(client):
        assert f" {method}(" in text, method
        assert f" | {method}\n" not in data, method
