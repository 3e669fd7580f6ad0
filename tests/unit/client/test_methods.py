"""One method, two clients: signature, documentation and manner of each."""

import inspect
import pydoc

import pytest

from oss_vector_retriever import AsyncOSSVectorClient, ConfigurationError, OSSVectorClient
from oss_vector_retriever.client.async_methods import _AsyncMethods

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
    """Return the names of the operations, but for those that yield."""
    names = (name for name in vars(_AsyncMethods) if name[0] != "_" and name != "run")
    return sorted(name for name in names if not name.startswith("iter_"))


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
    assert f"{client.__name__}.get_vectors" not in text.partition("Data descriptors")[2]


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
    assert Mine.get_vectors is OSSVectorClient.get_vectors


def test_a_subclass_keeps_its_own_constructor_and_options():
    class Mine(AsyncOSSVectorClient):
        def __init__(self, bucket):
            super().__init__(bucket=bucket, account_id="1", region="cn-hangzhou")

    assert Mine("examplebucket").config.bucket == "examplebucket"
    with pytest.raises(TypeError, match="positional"):
        Mine("examplebucket").with_options(1)


def test_arguments_that_do_not_fit_are_refused_like_any_functions():
    client = OSSVectorClient(
        bucket="examplebucket", account_id="1", region="cn-hangzhou", credentials=("ak", "sk")
    )
    with client:
        with pytest.raises(TypeError, match=r"OSSVectorClient.get_vectors\(\) got an unexpected"):
            client.get_vectors(["a"], return_dat=True)
        with pytest.raises(TypeError, match="missing 1 required positional"):
            client.fetch()


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("method", ["__init__", "local", "with_options"])
def test_a_misspelt_option_is_refused_in_the_clients_name(client, method):
    made = client(bucket="examplebucket", account_id="1", region="cn-hangzhou")
    call = client if method == "__init__" else getattr(made, method)
    said = rf"{client.__name__}\.{method}\(\) got an unexpected keyword argument 'timeot'"
    with pytest.raises(TypeError, match=f"^{said}"):
        call(timeot=3)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("method", "wrong"),
    [
        ("__init__", {"max_retries": 5}),
        ("local", {"behavior": None}),
        ("local", {"max_retries": 5, "verify": False}),
        ("with_options", {"region": "cn-beijing"}),
    ],
)
def test_what_is_no_option_is_answered_with_those_there_are(client, method, wrong):
    made = client(bucket="examplebucket", account_id="1", region="cn-hangzhou")
    call = client if method == "__init__" else getattr(made, method)
    options = list(inspect.signature(call).parameters)
    assert len(options) > 8
    with pytest.raises(TypeError) as caught:
        call(**wrong)
    named = ", ".join(map(repr, wrong))
    assert str(caught.value) == (
        f"{client.__name__}.{method}() got an unexpected keyword argument {named}; "
        f"its arguments are {', '.join(options)}."
    )


def test_a_subclass_passes_on_what_is_no_option_to_the_same_answer():
    class Mine(OSSVectorClient):
        def __init__(self, **options):
            super().__init__(bucket="examplebucket", **options)

    with pytest.raises(TypeError, match=r"'max_retries'; its arguments are bucket, account_id"):
        Mine(max_retries=5)


def test_a_misspelt_option_leaves_no_credentials_in_the_frames_of_its_error():
    secret = "S" * 30
    with pytest.raises(TypeError) as caught:
        OSSVectorClient(credentials=("ak", secret), timeot=3, proxy=f"http://a:{secret}@b")
    frame = caught.value.__traceback__.tb_next
    assert frame is not None
    while frame is not None:
        assert secret not in repr(frame.tb_frame.f_locals)
        frame = frame.tb_next


def test_a_wrong_setting_leaves_no_credentials_in_the_frames_of_its_error():
    secret = "S" * 30
    with pytest.raises(ConfigurationError) as caught:
        OSSVectorClient(
            credentials=("ak", secret),
            proxy=f"http://a:{secret}@b",
            endpoint=f"http://a:{secret}@b",
            region="no region",
        )
    frame = caught.value.__traceback__.tb_next
    while frame is not None:
        assert secret not in repr(frame.tb_frame.f_locals)
        frame = frame.tb_next
