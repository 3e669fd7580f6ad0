"""One function, two methods: signature, documentation and manner of both clients."""

import inspect
import pydoc

import pytest

from oss_vector_retriever import AsyncOSSVectorClient, OSSVectorClient
from oss_vector_retriever.client.methods import Method

CLIENTS = [OSSVectorClient, AsyncOSSVectorClient]
OPERATIONS = [
    "get_vectors",
    "put_vectors",
    "delete_vectors",
    "list_vectors",
    "query_vectors",
    "put_vector_index",
    "get_vector_index",
    "list_vector_indexes",
    "delete_vector_index",
    "put_vector_bucket",
    "get_vector_bucket",
    "list_vector_buckets",
    "delete_vector_bucket",
    "fetch",
]


def all_methods():
    """Return the names of everything that is made from one function on flows."""
    base = OSSVectorClient.__mro__[1]
    return sorted(name for name, value in vars(base).items() if isinstance(value, Method))


def public(client):
    return {name for name in dir(client) if not name.startswith("_")}


def test_every_operation_is_there():
    assert set(OPERATIONS) <= set(all_methods())


def test_both_clients_have_the_same_public_methods():
    only_sync, only_async = {"to_async"}, {"to_sync", "usable_here"}
    assert public(OSSVectorClient) - only_sync == public(AsyncOSSVectorClient) - only_async
    assert only_sync <= public(OSSVectorClient)
    assert only_async <= public(AsyncOSSVectorClient)


@pytest.mark.parametrize("name", all_methods())
class TestAMethod:
    def test_has_the_same_signature_on_both_clients(self, name):
        sync, asynchronous = (inspect.signature(getattr(client, name)) for client in CLIENTS)
        assert sync == asynchronous
        assert str(sync).startswith("(self")
        assert not any(word in str(sync) for word in ("Context", "context", "Flow"))

    def test_is_a_coroutine_function_on_the_async_client_only(self, name):
        assert inspect.iscoroutinefunction(getattr(AsyncOSSVectorClient, name))
        assert not inspect.iscoroutinefunction(getattr(OSSVectorClient, name))

    def test_is_documented_under_its_own_name(self, name):
        for client in CLIENTS:
            method = getattr(client, name)
            assert (method.__name__, method.__qualname__) == (name, f"{client.__name__}.{name}")
            assert len(method.__doc__.splitlines()[0]) > 10
            assert not hasattr(method, "__wrapped__")

    def test_is_bound_to_its_client(self, name):
        for client in CLIENTS:
            made = client.__new__(client)
            bound = getattr(made, name)
            assert inspect.ismethod(bound)
            assert bound.__self__ is made
            assert "self" not in inspect.signature(bound).parameters


@pytest.mark.parametrize("client", CLIENTS)
def test_help_is_readable(client):
    text = pydoc.plain(pydoc.render_doc(client))
    prefix = "async " if client is AsyncOSSVectorClient else ""
    assert f"{prefix}get_vectors(" in text
    assert "Get 1 to 100 vectors by key, in one call." in text
    assert "oss_vector_retriever.client.methods.Method object" not in text


def test_a_signature_tells_what_is_awaited_or_returned():
    for client in CLIENTS:
        signature = str(inspect.signature(client.fetch))
        assert signature.startswith("(self, keys: 'Iterable[str]', *, index: 'str | None' = None,")
        assert signature.endswith("timeout: 'float | None' = None) -> 'FetchResult'")


def test_a_method_can_be_replaced_in_a_subclass():
    class Mine(OSSVectorClient):
        def fetch(self, keys):
            return ["mine", *keys]

    made = Mine.__new__(Mine)
    assert made.fetch(["a"]) == ["mine", "a"]
    assert Mine.get_vectors.__qualname__.endswith("Mine.get_vectors")


def test_a_method_runs_its_flow_in_its_clients_manner():
    def double(context, number, *, add=0):
        """Double a number."""
        return context * number + add
        yield

    class Plain:
        double_it = Method(double)

        def run(self, start):
            flow = start(2)
            with pytest.raises(StopIteration) as end:
                next(flow)
            return end.value.value

    class Awaited(Plain):
        async def run(self, start):
            return Plain.run(self, start)

    assert Plain().double_it(21, add=1) == 43
    coroutine = Awaited().double_it(21)
    with pytest.raises(StopIteration) as end:
        coroutine.send(None)
    assert end.value.value == 42
    assert str(inspect.signature(Plain.double_it)) == "(self, number, *, add=0)"


def test_arguments_that_do_not_fit_are_refused_like_any_functions():
    client = OSSVectorClient(
        bucket="examplebucket", account_id="1", region="cn-hangzhou", credentials=("ak", "sk")
    )
    with client:
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            client.get_vectors(["a"], return_dat=True)
        with pytest.raises(TypeError, match="missing 1 required positional"):
            client.fetch()
