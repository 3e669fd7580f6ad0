"""Where a bucket is, as people have it: by flags and in the environment, to a service that listens.

The names of the service lead to this machine here; nothing else is changed on the way.
"""

import socket

import pytest
from support.command_line import call
from support.places import ACCOUNT, ARN, CONTRADICTIONS, FLAGS, PUBLIC, REGIONAL, SHOWN

from oss_vector_retriever import OSSVectorClient, emulator

KEY = emulator.AccessKey("an-id", "a-secret", ACCOUNT)
INTERNAL = "https://cn-beijing-internal.oss-vectors.aliyuncs.com"


@pytest.fixture
def port(monkeypatch):
    """Have the hosts of OSS Vectors answered by an embedded service in their region."""
    real = socket.getaddrinfo

    def look_up(host, *rest, **options):
        here = host.endswith(".oss-vectors.aliyuncs.com")
        return real("127.0.0.1" if here else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setenv("OSS_ACCESS_KEY_ID", KEY.id)
    monkeypatch.setenv("OSS_ACCESS_KEY_SECRET", "a-secret")
    service = emulator.Service.in_memory(access_keys=[KEY], region="cn-beijing")
    service.create_bucket(ACCOUNT, "my-bucket")
    with service, emulator.Server(service) as server:
        yield int(server.endpoint.rsplit(":", 1)[1])


def plain(address, port):
    return f"{address.replace('https', 'http')}:{port}"


@pytest.mark.parametrize("address", [SHOWN, PUBLIC])
@pytest.mark.parametrize("way", ["flag", "variable"])
@pytest.mark.parametrize("beside", [(), ("--bucket", "my-bucket"), ("--bucket", ARN)])
def test_the_bucket_s_own_endpoint_is_enough(port, monkeypatch, address, way, beside):
    here = plain(address, port)
    words = ["get-vector-bucket", "--allow-http", *beside]
    if way == "flag":
        monkeypatch.setenv("OSS_VECTORS_BUCKET", "of-another-project")
        monkeypatch.setenv("OSS_REGION", "cn-hangzhou")
        monkeypatch.setenv("OSS_ACCOUNT_ID", "42")
        words += ["--endpoint", here]
    else:
        monkeypatch.setenv("OSS_ENDPOINT", here)
    done = call(*words)
    assert done.errors == ""
    assert done.json["BucketInfo"]["Name"] == ARN


@pytest.mark.parametrize(
    ("seconds", "words", "status", "state"),
    [
        (30.0, [], 0, "creating"),
        (0.4, ["--wait"], 0, "enable"),
        (30.0, ["--wait", "--timeout", "0.3"], 1, "creating"),
    ],
)
@pytest.mark.usefixtures("port")
def test_a_new_index_is_waited_for_where_that_is_asked_for(
    monkeypatch, seconds, words, status, state
):
    monkeypatch.setenv("OSS_VECTORS_INDEX", "made")
    behaviour = emulator.Behaviour(index_creation_seconds=seconds)
    service = emulator.Service.in_memory(
        access_keys=[KEY], region="cn-beijing", behaviour=behaviour
    )
    service.create_bucket(ACCOUNT, "my-bucket")
    with service, emulator.Server(service) as server:
        here = ("--endpoint", server.endpoint, "--region", "cn-beijing", "--account-id", ACCOUNT)
        here = (*here, "--bucket", "my-bucket")
        new = ("--dimension", "2", "--distance-metric", "cosine")
        done = call("put-vector-index", *here, *new, *words)
        assert (done.status, done.output) == (status, ""), done.errors
        if status:
            assert "index 'made' is made, and was still creating" in done.errors
        assert call("get-vector-index", *here).json["index"]["status"] == state


@pytest.mark.parametrize("way", ["flag", "variable"])
def test_the_arn_of_a_listing_is_enough(port, monkeypatch, way):
    here = ("--allow-http", "--endpoint", plain(REGIONAL, port))
    listed = call("list-vector-buckets", *here, "--account-id", ACCOUNT).json
    (arn,) = (bucket["Name"] for bucket in listed["ListAllMyBucketsResult"]["Buckets"])
    flags = ("--bucket", arn)
    if way == "variable":
        flags = ()
        monkeypatch.setenv("OSS_VECTORS_BUCKET", arn)
    assert call("get-vector-bucket", *here, *flags).json["BucketInfo"]["Name"] == ARN
    monkeypatch.setenv("OSS_VECTORS_INDEX", "other")
    made = ("put-vector-index", *here, "--bucket", f"{arn}/notes", "--dimension", "1")
    assert call(*made, "--distance-metric", "cosine").status == 0
    with OSSVectorClient(bucket=arn, endpoint=here[2], allow_http=True) as client:
        assert [index.index_name for index in client.list_vector_indexes()] == ["notes"]


def test_an_arn_of_an_embedded_service_is_as_good(stored):
    local = stored[:2]
    (bucket,) = call("list-vector-buckets", *local).json["ListAllMyBucketsResult"]["Buckets"]
    words = ("get-vectors", "--keys", "c", *local, "--bucket", f"{bucket['Name']}/notes")
    assert call(*words).json["missing"] == []
    assert call(*words, "--index-name", "notes").json["missing"] == []
    done = call(*words, "--index-name", "others")
    assert "--bucket says 'notes', --index-name says 'others'" in done.errors
    elsewhere = call("get-vectors", "--keys", "c", *local, "--bucket", ARN)
    assert "; make another client" in elsewhere.errors


def test_doctor_says_which_setting_gave_each(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)  # a real look-up would leave this machine
    monkeypatch.setenv("OSS_REGION", "oss-cn-hangzhou")
    found = call("doctor", "--output-format", "jsonl", "--endpoint", SHOWN, "--index-name", "i")
    (detail, *_) = (line["detail"] for line in found.lines if line["check"] == "settings")
    assert detail == (
        f"bucket my-bucket (--endpoint), account_id {ACCOUNT} (--endpoint), region cn-beijing "
        f"(--endpoint), endpoint {INTERNAL} (--endpoint), index i (--index-name)"
    )
    # long enough to be taken for a secret
    arn = f"{ARN}/{'notes' * 9}"
    monkeypatch.setenv("OSS_VECTORS_BUCKET", arn)
    monkeypatch.delenv("OSS_REGION")
    found = call("doctor", "--output-format", "jsonl", "--internal", "--index-name", "i")
    (detail, *_) = (line["detail"] for line in found.lines if line["check"] == "settings")
    assert detail.startswith("bucket my-bucket (OSS_VECTORS_BUCKET), account_id ")
    assert f"endpoint {INTERNAL} (the region's own), index i (--index-name)" in detail


@pytest.mark.parametrize("pair", CONTRADICTIONS)
def test_flags_that_contradict_each_other_are_refused_by_name(pair):
    _, settings = CONTRADICTIONS[pair]
    words = [w for name, (value, _) in settings.items() for w in (FLAGS[name], value)]
    done = call("get-vectors", "--keys", "a", *words)
    assert done.status == 2
    for name, (_, value) in settings.items():
        assert f"{FLAGS[name]} says {value!r}" in done.errors
    assert done.errors.endswith(", whichever is wrong.\n")


def test_variables_that_contradict_each_other_are_refused_by_name(monkeypatch):
    monkeypatch.setenv("OSS_ENDPOINT", SHOWN)
    monkeypatch.setenv("OSS_REGION", "cn-hangzhou")
    done = call("get-vectors", "--keys", "a")
    assert "OSS_REGION says 'cn-hangzhou', OSS_ENDPOINT says 'cn-beijing'" in done.errors
    done = call("get-vectors", "--keys", "a", "--region", "cn-beijing", "--bucket", "other")
    assert "--bucket says 'other', OSS_ENDPOINT says 'my-bucket'" in done.errors


def test_without_a_key_it_says_what_the_chain_could_read(monkeypatch):
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "canary-of-nobody")
    done = call("get-vectors", "--keys", "a", "--endpoint", SHOWN, "--index-name", "i")
    assert done.status == 2
    assert "What the chain reads is set: ALIBABA_CLOUD_ACCESS_KEY_SECRET." in done.errors
    assert "--credentials chain needs pip install" in done.errors
    assert "canary" not in done.errors + done.output
