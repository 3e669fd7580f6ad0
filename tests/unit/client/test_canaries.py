"""What a constructor refuses is in no text, no frame and no serialised form."""

import copy
import dataclasses
import importlib
import json
import logging
import pickle
import time
from datetime import UTC, datetime
from importlib.util import find_spec

import langsmith._internal._serde as langsmith_serde
import orjson
import pydantic
import pydantic_core
import pytest
from support.canaries import (
    ADDRESS,
    CLIENTS,
    GOOD,
    ID,
    PASSWORD,
    PLACE,
    PRESIGNED,
    SECRET,
    TOKEN,
    check,
    found_in,
    raised,
)
from support.places import ARN, SHOWN

from oss_vector_retriever import ConfigurationError, Credentials, OSSVectorClient
from oss_vector_retriever.client.credentials import CallableSource, CredentialsKeeper, source_of
from oss_vector_retriever.client.hidden import Hidden
from oss_vector_retriever.client.inquiry import Inquiry
from oss_vector_retriever.client.signing import Scope, Signable, SigningKey, SigningKeys
from oss_vector_retriever.emulator import AccessKey

REFUSED = {
    "a tuple with a line break": {"credentials": (ID, f"{SECRET}\n", TOKEN)},
    "a token with a space": {"credentials": (ID, SECRET, f"{TOKEN} ")},
    "a tuple of one": {"credentials": (SECRET,)},
    "a list": {"credentials": [ID, SECRET]},
    "a dict": {"credentials": {"access_key_secret": SECRET}},
    "a text": {"credentials": SECRET},
    "bytes": {"credentials": (ID.encode(), SECRET.encode())},
    "good ones beside a wrong timeout": {"credentials": (ID, SECRET, TOKEN), "timeout": -1},
    "good ones beside a wrong bucket": {"credentials": (ID, SECRET, TOKEN), "bucket": "X"},
    "good ones beside a bucket's endpoint that contradicts": {
        "credentials": (ID, SECRET, TOKEN),
        "endpoint": SHOWN,
    },
    "an ARN beside an endpoint with userinfo": {"bucket": ARN, "endpoint": ADDRESS},
    "an endpoint with userinfo": {"endpoint": ADDRESS},
    "an endpoint that is a presigned URL": {"endpoint": PRESIGNED},
    "an endpoint with a password that has a slash": {"endpoint": f"https://u:/{PASSWORD}/@h"},
    "an endpoint and internal": {"endpoint": ADDRESS, "internal": True},
    "a proxy of no kind": {"proxy": f"ftp://u:{PASSWORD}@proxy.example"},
    "a proxy without a host": {"proxy": f"http://u:{PASSWORD}@"},
    "a proxy without a port": {"proxy": f"http://u:{PASSWORD}@h:x"},
    "a good proxy beside a wrong timeout": {"proxy": f"http://u:{PASSWORD}@h:1", "timeout": -1},
    "a good proxy without a region": {"proxy": f"http://u:{PASSWORD}@h:1", "region": None},
    "a good proxy and no such certificates": {
        "proxy": f"http://u:{PASSWORD}@h:1",
        "ca_file": "/no/such",
    },
}


@pytest.mark.parametrize("client_class", CLIENTS)
@pytest.mark.parametrize("name", REFUSED)
def test_what_a_constructor_refuses_is_in_no_frame(client_class, name):
    options = {**PLACE, **REFUSED[name]}
    error = raised(lambda: client_class(**options))
    assert isinstance(error, ConfigurationError)
    check(error, drawn=name in {"a tuple with a line break", "an endpoint with userinfo"})


@pytest.mark.parametrize("client_class", CLIENTS)
def test_what_a_client_with_options_refuses_is_in_no_frame(client_class):
    client = client_class(**PLACE, credentials=GOOD)
    for credentials in [(ID, f"{SECRET}\n"), [SECRET], SECRET, (ID, SECRET, " ")]:
        check(raised(lambda given=credentials: client.with_options(credentials=given)))
        check(raised(lambda given=credentials: client_class.from_settings(client.settings, given)))
    check(raised(lambda: client.with_options(credentials=(ID, SECRET), timeout=-1)))


@pytest.mark.parametrize(
    "parts",
    [
        (ID, f"{SECRET}\n"),
        (f"{ID} ", SECRET),
        (ID, SECRET, f"{TOKEN}\0"),
        (ID, SECRET.encode()),
        (ID, SECRET, TOKEN, 1_800_000_000),
        ("", SECRET),
    ],
)
def test_credentials_that_are_refused_are_in_no_frame(parts):
    check(raised(lambda: Credentials(*parts)))


def test_an_access_key_that_is_refused_is_in_no_frame():
    check(raised(lambda: AccessKey("", SECRET, "1")))
    check(raised(lambda: AccessKey("its id is shown", SECRET, "no account", security_token=TOKEN)))


@pytest.mark.parametrize("client_class", CLIENTS)
@pytest.mark.parametrize(
    "variables",
    [
        {"OSS_ENDPOINT": ADDRESS},
        {"OSS_ENDPOINT": PRESIGNED},
        {"OSS_ENDPOINT": SHOWN},
        {"OSS_VECTORS_BUCKET": ARN, "OSS_ENDPOINT": ADDRESS},
        {"OSS_ACCOUNT_ID": ""},
        {"HTTPS_PROXY": f"ftp://u:{PASSWORD}@proxy.example", "OSS_ENDPOINT": "https://oss.example"},
    ],
)
def test_what_the_environment_holds_is_in_no_frame(client_class, variables, monkeypatch):
    monkeypatch.setenv("OSS_ACCESS_KEY_SECRET", SECRET)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    place = {**PLACE, "account_id": None if "OSS_ACCOUNT_ID" in variables else "1"}
    check(raised(lambda: client_class(**place)))


def attributes(value):
    return [
        getattr(value, name, None)
        for kind in type(value).__mro__
        for name in getattr(kind, "__slots__", ())
    ]


def opened(value, depth=5):
    """Return what a walk through attributes and containers comes upon, as jsonpickle goes."""
    if isinstance(value, str | bytes) or depth == 0:
        return repr(value)
    parts = [*value.items()] if isinstance(value, dict) else []
    parts = [*value] if isinstance(value, list | tuple | set) else parts
    parts += [*getattr(value, "__dict__", {}).items()] if not isinstance(value, type) else []
    parts += attributes(value)
    return repr(value) + "".join(opened(part, depth - 1) for part in parts)


def with_sentry(value):
    serialize = importlib.import_module("sentry_sdk.serializer").serialize
    return serialize({"exception": {"vars": {"value": value}}, "extra": {"value": value}})


SERIALISERS = {
    "orjson": orjson.dumps,
    "orjson with a default": lambda value: orjson.dumps(value, default=vars),
    "pydantic_core": pydantic_core.to_json,
    "pydantic_core, whatever it is": lambda v: pydantic_core.to_json(v, serialize_unknown=True),
    "pydantic": lambda v: pydantic.TypeAdapter(object).dump_json(v, fallback=str),
    "json": lambda value: json.dumps(value, default=vars),
    "asdict": dataclasses.asdict,
    "vars": vars,
    "pickle": pickle.dumps,
    "deepcopy": copy.deepcopy,
    "repr": repr,
    "str": str,
    "state": lambda value: value.__getstate__(),
    "attributes": attributes,
    "a walk": opened,
    "a log": lambda v: logging.Formatter("%(message)s").format(
        logging.makeLogRecord({"msg": "%s %r", "args": (v, v)})
    ),
    "LangSmith": lambda value: langsmith_serde.dumps_json({"inputs": {"credentials": value}}),
}
OTHERS = {
    "msgspec": lambda v: importlib.import_module("msgspec").json.Encoder(enc_hook=str).encode(v),
    "jsonpickle": lambda v: importlib.import_module("jsonpickle").encode(v),
    "sentry_sdk": with_sentry,
}
SERIALISERS |= {name: how for name, how in OTHERS.items() if find_spec(name)}


def written(serialise, value):
    try:
        return repr(serialise(value))
    except Exception as error:  # noqa: BLE001 - whatever it refuses with
        return str(error)


def keeper():
    made = CredentialsKeeper(
        CallableSource(lambda: Credentials(ID, SECRET, TOKEN, datetime(2100, 1, 1, tzinfo=UTC))),
        lambda: datetime.now(UTC),
        time.monotonic,
        print,
    )
    flow = made.resolve()
    next(flow).inquiry.run()
    with pytest.raises(StopIteration):
        next(flow)
    made.signing_keys.key_of(GOOD, Scope("20261101", "cn-hangzhou"))
    return made


def inquiry():
    made = Inquiry(lambda: GOOD, lambda value: value, "callable", 0.0, is_async=False)
    made.run()
    return made


def signing_keys():
    keys = SigningKeys()
    keys.key_of(GOOD, Scope("20261101", "cn-hangzhou"))
    return keys


HOLDERS = {
    "credentials": lambda: GOOD,
    "several": lambda: [{"credentials": GOOD}, (GOOD,)],
    "an access key": lambda: AccessKey("shown", SECRET, "1", None, TOKEN),
    "what is hidden": lambda: Hidden((ID, SECRET)),
    "a source": lambda: source_of((ID, SECRET, TOKEN)),
    "a keeper": keeper,
    "an inquiry": inquiry,
    "a signing key": lambda: SigningKey(SECRET, Scope("20261101", "cn-hangzhou")),
    "signing keys": signing_keys,
    "a client": lambda: OSSVectorClient(**PLACE, credentials=(ID, SECRET, TOKEN)),
    "a configuration": lambda: (
        OSSVectorClient(**PLACE, credentials=(ID, SECRET), proxy=f"http://u:{PASSWORD}@h:1").config
    ),
    "settings": lambda: (
        OSSVectorClient(
            **PLACE, credentials=(ID, SECRET), proxy=f"http://u:{PASSWORD}@h:1"
        ).settings
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # jsonpickle's own
@pytest.mark.parametrize("how", SERIALISERS)
@pytest.mark.parametrize("name", HOLDERS)
def test_no_serialiser_opens_what_holds_a_secret(name, how):
    assert found_in(written(SERIALISERS[how], HOLDERS[name]())) == []


def test_a_signable_does_not_show_its_headers():
    assert found_in(repr(Signable("GET", "/", "", {"x-oss-security-token": TOKEN}))) == []


@dataclasses.dataclass
class Planted:
    """What a user might write."""

    secret: str = SECRET


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # jsonpickle's own
@pytest.mark.parametrize("how", SERIALISERS)
def test_each_finds_one_that_is_planted(how):
    class Slotted:
        __slots__ = ("secret",)

        def __init__(self):
            self.secret = SECRET

    value = Slotted() if how == "attributes" else Planted()
    if how == "sentry_sdk":
        value = {"secret": SECRET}
    assert found_in(written(SERIALISERS[how], value)) == [SECRET]
