"""Settings that travel: where a client points and how, never a secret, whatever carries them."""

import copy
import dataclasses
import json
import pickle

import pytest
from support.places import ACCOUNT, ARN, PUBLIC, SHOWN

from oss_vector_retriever import (
    AsyncOSSVectorClient,
    ClientSettings,
    ConfigurationError,
    Credentials,
    Limits,
    OSSVectorClient,
    RetryPolicy,
)
from oss_vector_retriever.client.pair import ClientPair
from oss_vector_retriever.client.transport.engine import settings_for

PLACE = {"bucket": "examplebucket", "account_id": "123456", "region": "cn-hangzhou"}
CANARIES = ("LTAI5tCANARYID", "CANARYsecretCANARYsecret", "CAISCANARYtoken")
PROXY = "http://CANARYuser:CANARYpassword@proxy.example:3128"
HOW = {
    "index": "vectorindex1",
    "internal": True,
    "max_concurrency": 3,
    "timeout": 7.5,
    "connect_timeout": 2,
    "retry": RetryPolicy(attempts=5, cap=1.5),
    "rate_limit": 4,
    "coalesce": 0.005,
    "limits": Limits(keys_per_get=7),
    "max_reply_bytes": 4096,
    "additional_headers": ["host"],
    "user_agent_extra": "my-app/1.2 its-part",
}
ELSEWHERE = {
    "OSS_VECTORS_BUCKET": "otherbucket",
    "OSS_ACCOUNT_ID": "42",
    "OSS_REGION": "cn-beijing",
    "OSS_VECTORS_INDEX": "otherindex",
    "OSS_ENDPOINT": "http://127.0.0.1:9000",
    "OSS_ACCESS_KEY_ID": "other-id",
    "OSS_ACCESS_KEY_SECRET": "other-secret",
}
BOTH = pytest.mark.parametrize("kind", [OSSVectorClient, AsyncOSSVectorClient])
WAYS = {
    "pickle": lambda client: pickle.loads(pickle.dumps(client)),
    "settings": lambda client: type(client).from_settings(client.settings),
    "dict": lambda client: type(client).from_settings(
        ClientSettings.from_dict(json.loads(json.dumps(client.settings.to_dict())))
    ),
}
WAYS_BACK = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def elsewhere(monkeypatch):
    """Have the environment name another place, as another process may."""

    def set_all():
        for name, value in ELSEWHERE.items():
            monkeypatch.setenv(name, value)

    return set_all


def place(client):
    config = client.config
    names = ("bucket", "account_id", "region", "index")
    return (*(getattr(config, name) for name in names), str(config.endpoint))


def credentials_of(client):
    return client.config.credentials.resolve()


@BOTH
@WAYS_BACK
class TestEveryWayBack:
    def test_keeps_where_it_points_and_how(self, kind, way, elsewhere):
        client = kind(**PLACE, **HOW)
        elsewhere()
        again = WAYS[way](client)
        assert type(again) is kind
        assert place(again) == place(client)
        assert again.settings == client.settings
        for name in HOW:
            assert getattr(again.config, name) == getattr(client.config, name)

    def test_keeps_what_the_environment_named(self, kind, way, elsewhere, monkeypatch):
        for name, value in zip(
            ELSEWHERE, ("envbucket", "7", "cn-shanghai", "envindex"), strict=False
        ):
            monkeypatch.setenv(name, value)
        client = kind()
        elsewhere()
        again = WAYS[way](client)
        assert place(again) == place(client)
        assert again.config.bucket == "envbucket"

    def test_keeps_none_where_there_was_none(self, kind, way, elsewhere):
        client = kind(**PLACE)
        elsewhere()
        again = WAYS[way](client)
        assert (again.config.index, again.settings.endpoint) == (None, None)
        with pytest.raises(ConfigurationError, match="No index"):
            again.config.index_or(None)

    def test_reads_credentials_of_the_environment_anew(self, kind, way, elsewhere):
        client = kind(**PLACE)
        elsewhere()
        again = WAYS[way](client)
        assert credentials_of(again).access_key_id == "other-id"
        assert again.settings.credentials == "environment"

    def test_asks_the_chain_again(self, kind, way):
        again = WAYS[way](kind(**PLACE, credentials="chain"))
        assert type(again.config.credentials).__name__ == "ChainSource"
        assert (again.settings.credentials, again.settings.omitted) == ("chain", ())

    @pytest.mark.parametrize(
        "given",
        [CANARIES, Credentials(*CANARIES), lambda: CANARIES],
        ids=["tuple", "one", "callable"],
    )
    def test_asks_for_credentials_that_were_given(self, kind, way, given, elsewhere):
        client = kind(**PLACE, credentials=given)
        elsewhere()
        again = WAYS[way](client)
        assert (again.settings.credentials, again.settings.omitted) == ("given", ("credentials",))
        with pytest.raises(ConfigurationError, match=r"with_options\(credentials="):
            credentials_of(again)
        helped = again.with_options(credentials=("new-id", "new-secret"))
        assert credentials_of(helped).access_key_id == "new-id"
        assert place(helped) == place(client)

    def test_leaves_out_who_signs_in_to_a_proxy(self, kind, way):
        client = kind(**PLACE, proxy=PROXY)
        again = WAYS[way](client)
        assert again.config.proxy == again.settings.proxy == "http://proxy.example:3128"
        assert again.settings.omitted == client.settings.omitted == ("userinfo of the proxy",)
        assert settings_for(again.config).proxy == "http://proxy.example:3128"


@BOTH
@WAYS_BACK
@pytest.mark.parametrize(
    "given",
    [{"endpoint": SHOWN}, {"endpoint": f"{SHOWN}:8443"}, {"bucket": f"{ARN}/notes"}],
    ids=["endpoint", "port", "arn"],
)
def test_one_setting_that_says_all_comes_back(kind, way, given, elsewhere):
    client = kind(**given)
    elsewhere()
    again = WAYS[way](client)
    assert again.settings == client.settings
    assert again.settings.bucket == "my-bucket"
    assert place(again) == place(client)
    assert place(again)[:3] == ("my-bucket", ACCOUNT, "cn-beijing")
    assert again.config.index == ("notes" if "bucket" in given else None)
    located = again.config.endpoint.locate("my-bucket", ACCOUNT)
    assert located == (given.get("endpoint", PUBLIC), "/")
    other = again.with_options(bucket=ARN.replace("my-bucket", "other"))
    assert other.config.endpoint == client.config.endpoint
    assert (other.config.bucket, other.settings.bucket) == ("other", "other")


def test_the_first_call_asks_for_credentials_that_did_not_travel():
    client = pickle.loads(pickle.dumps(OSSVectorClient(**PLACE, index="i", credentials=CANARIES)))
    with client, pytest.raises(ConfigurationError, match=r"with_options\(credentials="):
        client.fetch(["a"])


async def test_the_first_call_on_a_loop_asks_for_them_too():
    given = AsyncOSSVectorClient(**PLACE, index="i", credentials=CANARIES)
    async with pickle.loads(pickle.dumps(given)) as client:
        with pytest.raises(ConfigurationError, match=r"with_options\(credentials="):
            await client.fetch(["a"])


@BOTH
def test_credentials_can_be_given_on_the_way_back(kind):
    settings = kind(**PLACE, credentials=CANARIES).settings
    again = kind.from_settings(settings, credentials=("new-id", "new-secret"))
    assert credentials_of(again).access_key_id == "new-id"
    assert again.settings == settings


@BOTH
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_form_holds_a_secret(kind, protocol):
    client = kind(**PLACE, credentials=CANARIES, proxy=PROXY)
    settings = client.settings
    forms = [repr(settings), str(settings.to_dict()), json.dumps(settings.to_dict())]
    pairs = [ClientPair(client), ClientPair(None, {**PLACE, "proxy": PROXY})]
    pickles = [pickle.dumps(value, protocol) for value in (client, settings, *pairs)]
    forms += [packed.decode("latin-1") for packed in pickles]
    assert not any("CANARY" in form for form in forms)


def test_settings_are_values():
    settings = OSSVectorClient(**PLACE, **HOW).settings
    again = ClientSettings.from_dict(settings.to_dict())
    assert again == settings
    assert hash(again) == hash(settings)
    assert copy.deepcopy(settings) == settings
    assert repr(settings).startswith("ClientSettings(bucket='examplebucket', account_id='123456'")
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.bucket = "other"
    assert not hasattr(settings, "__dict__")


def test_a_dict_is_short_and_plain():
    assert OSSVectorClient(**PLACE, coalesce=False).settings.to_dict() == {
        **PLACE,
        "internal": False,
        "allow_http": False,
        "max_concurrency": 8,
        "timeout": 30.0,
        "connect_timeout": 5.0,
        "retry": {
            "attempts": 3,
            "transient_base": 0.4,
            "throttle_base": 1.0,
            "cap": 20.0,
            "patience": 2.0,
        },
        "coalesce": False,
        "max_reply_bytes": 64 * 1024 * 1024,
        "credentials": "environment",
    }


def test_the_usual_settings_are_those_of_a_client_that_names_none():
    assert OSSVectorClient(**PLACE).settings == ClientSettings(**PLACE)


def test_a_pickle_loads_no_class_but_the_packages():
    class Patient(RetryPolicy):
        def pause(self, *_):
            return 1.0

    client = OSSVectorClient(**PLACE, retry=Patient(attempts=4))
    assert client.settings.retry == RetryPolicy(attempts=4)
    assert client.settings.omitted == ("class of retry",)
    names = []

    class Watched(pickle.Unpickler):
        def find_class(self, module, name):
            names.append(module)
            return super().find_class(module, name)

    import io  # noqa: PLC0415 - only here

    Watched(io.BytesIO(pickle.dumps(client))).load()
    assert {name.partition(".")[0] for name in names} == {"oss_vector_retriever", "builtins"}


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([], "a dict, not list"),
        ({"bucket": "b", "region": "cn-hangzhou"}, "lack account_id"),
        ({**PLACE, "colour": "red"}, "hold colour, which this version does not know"),
        ({**PLACE, "retry": {"attempt": 3}}, "saved retry settings hold attempt"),
        ({**PLACE, "retry": 3}, "saved retry settings are a dict, not int"),
        ({**PLACE, "limits": {"x": 3}}, "saved limits settings hold x"),
        ({**PLACE, "credentials": ["id", "secret"]}, "saved credentials are one of"),
        ({**PLACE, "additional_headers": "host"}, "saved additional_headers are a list, not str"),
        ({**PLACE, "local": 5}, "the saved local is a text, not int"),
    ],
)
def test_a_dict_that_is_none_is_refused(members, said):
    with pytest.raises(ConfigurationError, match=said):
        ClientSettings.from_dict(members)


@pytest.mark.parametrize(
    "wrong", [{"bucket": "b@evil.com/"}, {"endpoint": "http://oss.example"}, {"timeout": "5"}]
)
def test_settings_are_checked_like_arguments(wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        OSSVectorClient.from_settings(ClientSettings(**{**PLACE, **wrong}))


@pytest.mark.parametrize("wrong", [None, {**PLACE}, "settings"])
def test_anything_but_settings_is_refused(wrong):
    with pytest.raises(ConfigurationError, match="must be ClientSettings, not"):
        OSSVectorClient.from_settings(wrong)


@BOTH
@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
def test_within_a_process_a_copy_is_the_client_itself(kind, how):
    client, pair = kind(**PLACE, credentials=CANARIES), ClientPair()
    assert how([client])[0] is client
    assert how([pair])[0] is pair
    service = kind.local()
    assert how(service) is service


class TestEmbedded:
    @pytest.fixture(autouse=True)
    def _emulator(self):
        pytest.importorskip("oss_vector_retriever.emulator")

    @BOTH
    def test_in_memory_it_refuses(self, kind):
        client = kind.local()
        for refused in (lambda: client.settings, lambda: pickle.dumps(client)):
            with pytest.raises(ConfigurationError, match=r"in memory .* keep it in a file"):
                refused()

    def test_in_a_file_it_is_opened_again_by_its_path(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with OSSVectorClient.local("vectors.db", index="mine", timeout=5) as client:
            client.put_vector_index(dimension=1)
            client.put_vectors([{"key": "a", "data": [1.0]}])
            packed, settings = pickle.dumps(client), client.settings
        monkeypatch.chdir("/")
        assert settings.local == str(tmp_path / "vectors.db")
        assert (settings.credentials, settings.omitted) == ("given", ())
        with pickle.loads(packed) as again:
            assert again.fetch(["a"]).missing == ()
            assert (again.config.timeout, again.settings) == (5, settings)

    def test_a_file_that_is_open_here_is_shared_until_the_last_client_is_closed(self, tmp_path):
        first = OSSVectorClient.local(tmp_path / "vectors.db")
        first.put_vector_index(dimension=1)
        second, third = pickle.loads(pickle.dumps([first, first.with_options(timeout=3)]))
        first.close()
        second.put_vectors([{"key": "a", "data": [1.0]}])
        second.close()
        assert third.fetch(["a"]).missing == ()
        packed = pickle.dumps(third)
        third.close()
        with pickle.loads(packed) as again:  # by then opened anew
            assert again.fetch(["a"]).missing == ()
        with OSSVectorClient.local(tmp_path / "vectors.db"):
            pass  # nobody has left it locked

    def test_credentials_that_it_was_given_do_not_travel(self, tmp_path):
        with OSSVectorClient.local(tmp_path / "vectors.db") as client:
            settings = client.with_options(credentials=CANARIES).settings
        assert settings.omitted == ("credentials",)
        again = OSSVectorClient.from_settings(settings)
        with again, pytest.raises(ConfigurationError, match=r"with_options\(credentials="):
            again.list_vector_indexes()


class TestAPair:
    def test_has_the_settings_of_the_client_that_it_was_given(self):
        client = AsyncOSSVectorClient(**PLACE, credentials=CANARIES)
        pair = pickle.loads(pickle.dumps(ClientPair(client)))
        assert isinstance(pair.given, AsyncOSSVectorClient)
        assert pair.settings == client.settings == ClientPair(client).settings

    def test_of_the_environment_points_where_the_environment_pointed(self, elsewhere, monkeypatch):
        for name, value in zip(
            ELSEWHERE, ("envbucket", "7", "cn-shanghai", "envindex"), strict=False
        ):
            monkeypatch.setenv(name, value)
        packed = pickle.dumps(ClientPair())
        elsewhere()
        pair = pickle.loads(packed)
        assert (pair.given, pair.settings.bucket) == (None, "envbucket")
        assert place(pair.blocking())[:4] == ("envbucket", "7", "cn-shanghai", "envindex")
        assert pair.settings.endpoint is None
        assert credentials_of(pair.blocking()).access_key_id == "other-id"
        assert pickle.loads(pickle.dumps(pair)).settings == pair.settings

    def test_that_nothing_configures_yet_is_configured_where_it_is_used(self, elsewhere):
        packed = pickle.dumps(ClientPair())
        assert ClientPair().settings is None
        elsewhere()
        assert pickle.loads(packed).config.bucket == "otherbucket"

    def test_of_arguments_points_where_they_point(self, elsewhere):
        packed = pickle.dumps(ClientPair(None, {**PLACE, "credentials": CANARIES}))
        elsewhere()
        pair = pickle.loads(packed)
        assert pair.connection == PLACE
        assert pair.config.bucket == "examplebucket"
        with pytest.raises(ConfigurationError, match=r"with_options\(credentials="):
            credentials_of(pair.blocking())

    def test_of_arguments_that_lack_something_is_not_pickled(self):
        with pytest.raises(ConfigurationError, match="No region"):
            pickle.dumps(ClientPair(None, {"bucket": "examplebucket", "account_id": "1"}))

    def test_is_equal_where_it_points_to_the_same(self):
        client = OSSVectorClient(**PLACE)
        assert ClientPair() == ClientPair()
        assert ClientPair(client) == ClientPair(client) != ClientPair()
        assert ClientPair(None, PLACE) == ClientPair(None, PLACE) != ClientPair()
        assert pickle.loads(pickle.dumps(ClientPair(None, PLACE))) == ClientPair(None, PLACE)
        assert len({ClientPair(None, PLACE), ClientPair(None, PLACE)}) == 1
