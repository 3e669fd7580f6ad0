"""What a constructor refuses is in no text, no frame and no serialised form."""

import pytest
from support.canaries import ID, PASSWORD, SECRET, TOKEN, found_in, our_frames, shown_of

from oss_vector_retriever import (
    AsyncOSSVectorClient,
    ConfigurationError,
    Credentials,
    OSSVectorClient,
)
from oss_vector_retriever.emulator import AccessKey

GOOD = Credentials(ID, SECRET, TOKEN)
ADDRESS = f"https://{ID}:{PASSWORD}@oss.example"
PRESIGNED = (
    f"https://b-1.oss.example/?x-oss-credential={ID}%2F20261101&x-oss-security-token={TOKEN}"
)
PLACE = {"bucket": "examplebucket", "account_id": "1", "region": "cn-hangzhou", "index": "i"}
CLIENTS = [OSSVectorClient, AsyncOSSVectorClient]


def raised(function):
    try:
        function()
    except BaseException as error:  # noqa: BLE001 - the tests look at it
        return error
    raise AssertionError("nothing was raised")


def check(error, frames=1, *, drawn=False):
    assert found_in(shown_of(error, drawn=drawn)) == []
    assert len([*our_frames(error)]) >= frames  # there was something to be searched


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
