"""The examples in docstrings, which the reference shows, are run; of a class those of its methods.

An example has the names of its own package and those of the client's, as its page imports them.
The examples of methods go on from their class's. Those of the async client are awaited.
"""

import ast
import asyncio
import doctest
import gc
import importlib
import inspect
import warnings

import pytest
from support.pages import setting_of_docs

from oss_vector_retriever import AsyncOSSVectorClient, OSSVectorClient, emulator

# What is only returned, handed on or given as a type: nobody makes one, or there is nothing to see.
# The last line is Ray's, which takes a cluster to run: docs/ray.md.
WITHOUT = """
    AccountRecord Acknowledgement AppliedFault AsyncVectorStream BadRecord BadRecordsReport
    BatchReport BucketLogging ClientConfig ClientStats Completion Connected ConnectedComponent
    ConnectionOptions CredentialsClient CredentialsSource DocumentState DocumentStream Duplicates
    Endpoint Fault FetchReport FinishedCall FusedVector GetVectorsResult IncompleteSearchEvent
    ListVectorBucketsResult ListVectorIndexesResult ListVectorsResult Media Message
    MissingKeysEvent NodeWithProvenance OperationStats Outcome Page QueryOptions
    QueryVectorsFusionResult QueryVectorsResult Record Reference Reply Request RequestPacer
    RetryDecision ScoredVector SearchOptions ServiceOptions StoreSettings StoreTests Subject
    VectorBucket VectorIndex VectorStream WriteReport WrittenIds
    JobReport fetch run_fetch run_upsert upsert
"""

DOORS = setting_of_docs("DOORS")


def exported(door):
    package = importlib.import_module(door)
    return {name: getattr(package, name) for name in package.__all__}


def shown(door):
    """Return the classes and functions of a package, without its errors."""
    own = {}
    for name, value in exported(door).items():
        is_error = inspect.isclass(value) and issubclass(value, BaseException)
        if (inspect.isclass(value) or inspect.isfunction(value)) and not is_error:
            own[name] = value
    return own


def examples_of(door):
    """Yield what is to be run: for each object its own examples, and each method's after them."""
    names = {}
    for package in [*setting_of_docs("PACKAGES_OF_EXAMPLES"), door]:
        names |= exported(package)
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name, value in shown(door).items():
        own, *others = finder.find(value, name, module=False, globs=names) or [None]
        if own is not None and own.name == name:
            yield own
        for other in (one for one in others if one.examples):
            other.examples = [*own.examples, *other.examples]
            other.docstring = None  # the lines of two
            yield other


def execute(code, names):
    """Run an example as `exec` does, and wait for what it awaits."""
    result = eval(code, names)
    if inspect.iscoroutine(result):
        loop.run(result)


def close(names):
    """Close what an example has opened: a reader's program ends with it."""
    for one in names.values():
        if isinstance(one, OSSVectorClient | emulator.Service):
            one.close()
        elif isinstance(one, AsyncOSSVectorClient):
            loop.run(one.close())
    names.clear()


@pytest.fixture(autouse=True)
def loop(monkeypatch):
    with asyncio.Runner() as runner:
        monkeypatch.setitem(globals(), "loop", runner)
        monkeypatch.setattr(doctest, "exec", execute, raising=False)
        yield


@pytest.mark.parametrize("door", DOORS)
def test_examples_in_docstrings_run(door):
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    said = []
    for test in examples_of(door):
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        runner.run(test, compileflags=flags, out=said.append, clear_globs=False)
        close(test.globs)
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()  # what has no name of its own
    assert runner.tries or door.endswith(".ray")
    assert not runner.failures, "".join(said)


def test_what_users_make_or_call_has_an_example():
    without = {
        name
        for door in DOORS
        for name, value in shown(door).items()
        if "\n    >>> " not in inspect.getdoc(value)
    }
    assert without == set(WITHOUT.split())
