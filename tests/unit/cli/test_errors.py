"""Errors in the command line's words, and the statuses they end with."""

import json
import re

import click
import pytest
from support.command_line import call

from oss_vector_retriever.cli.arguments import CONNECTION
from oss_vector_retriever.cli.catalogue import FLAGS, SECTIONS
from oss_vector_retriever.cli.errors import PARTIAL, failure_of
from oss_vector_retriever.cli.rendering import raise_failures
from oss_vector_retriever.client import errors
from oss_vector_retriever.client.config import resolve_config
from oss_vector_retriever.client.credentials import EnvironmentSource
from oss_vector_retriever.client.errors import BatchReport, WriteReport

PYTHON = re.compile(
    r"\b[a-z]+_[a-z_]+\b"  # an argument's or method's name
    r"|\w=|\[key\]|\bclient\."
    r"|\b(?:True|False|None|NoneType|Vector|dict|tuple|str|int|float|bool|callable)\b"
    r"|\b(?:[A-Z][a-z]+){2,}(?:Error|Policy|Client)\b"
)


def message_of(error):
    return failure_of(error).message


def python_in(text):
    return PYTHON.findall(text)


REMOTE = ("--account-id", "1", "--region", "cn-hangzhou", "--bucket", "bucket")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list-vectors", "--segment-index", 1], "--segment-index needs --segment-count."),
        (
            ["list-vectors", "--max-results", 100000],
            "--max-results must be a whole number from 1 to 1000, not 100000.",
        ),
        (
            ["query-vectors", "--query-vector", "[1, 2]", "--top-k", 0],
            "--top-k must be a whole number from 1 to 500, not 0.",
        ),
        (["query-vectors", "--query-vector", "[]"], "--query-vector holds no numbers."),
        (["put-vectors", "--vectors", "[1]"], "--vectors: a vector to put is an object with key"),
        (["put-vectors", "--vectors", '[{"key": "k"}]'], "--vectors: vector 'k' has no data."),
        (
            ["put-vectors", "--vectors", '[{"key": true, "data": [1]}]'],
            "a key must be a string, not boolean true; use a string if that is how it was stored.",
        ),
        (["get-vectors", "--keys", "[5]"], "(counted from 0) is of type number"),
        (["get-vectors", "--keys", "k" * 1025], "--keys: a key has 1 to 1024 characters"),
    ],
)
def test_an_argument_is_named_by_its_flag(stored, words, said):
    done = call(*words, *stored)
    assert (done.status, done.output) == (2, "")
    assert said in done.errors
    assert python_in(done.errors) == []


def test_large_metadata_are_refused_with_the_flag_that_hides_a_field(stored):
    vector = {"key": "k", "data": [1, 2], "metadata": {"text": "x" * 3000}}
    done = call("put-vectors", *stored, "--vectors", json.dumps([vector]))
    assert done.status == 2
    assert "over the limit of 2,048" in done.errors
    assert "Name large fields in --non-filterable-key when the index is made" in done.errors
    assert python_in(done.errors) == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            errors.QpsLimitExceededError("QpsLimitExceeded", 503, "QPS limit exceeded."),
            "Send fewer requests at once: --rate-limit and --max-concurrency.",
        ),
        (
            errors.SecurityTokenError("SecurityTokenExpired", 403),
            "Get new temporary credentials; --credentials chain renews them.",
        ),
        (
            errors.NoSuchBucketError("NoSuchBucket", 404),
            "Check --bucket, --account-id and --region, or make it: oss-vectors put-vector-bucket.",
        ),
        (
            errors.NoSuchVectorIndexError("NoSuchVectorIndex", 404),
            "or make it: oss-vectors put-vector-index --dimension N --distance-metric cosine|eucli",
        ),
    ],
)
def test_what_to_do_about_a_refusal_is_a_flag_or_a_command(error, said):
    assert said in message_of(error)
    assert python_in(message_of(error)) == []


def test_an_error_within_an_error_speaks_in_flags_too():
    last = errors.QpsLimitExceededError("QpsLimitExceeded", 503)
    message = errors.Message("GetVectors did not end. The last: {last}", {"last": last})
    assert "--rate-limit" in message_of(errors.DeadlineExceededError(message))


def test_every_kind_of_service_error_advises_in_flags():
    kinds = {errors.service_error_class(code, 400) for code in errors._BY_CODE}
    for kind in kinds:
        assert python_in(message_of(kind("Code", 400, "Why."))) == []


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"region": "oss-"},
        {"region": "x", "endpoint": "https://cn-y.oss-vectors.aliyuncs.com"},
        {"region": "x", "endpoint": "https://oss-vectors.aliyuncs.com"},
        {"region": "x", "endpoint": "https://x.oss-vectors.aliyuncs.com", "internal": True},
        {"region": "x", "bucket": "acs:ossvector:y:1:bucket"},
        {"region": "x", "bucket": "acs:ossvector:x"},
        {"region": "cn-x-internal"},
        {"region": "x", "endpoint": "http://example.com"},
        {"region": "x", "endpoint": "http://127.0.0.1", "internal": True},
        {"region": "a/b"},
        {"region": "x", "account_id": "no"},
        {"region": "x", "bucket": "B"},
        {"region": "x", "index": "a-b"},
    ],
)
def test_no_message_about_settings_speaks_python(settings):
    with pytest.raises(errors.ConfigurationError) as caught:
        resolve_config(**{"bucket": "bucket", "account_id": "1", **settings})
    assert python_in(message_of(caught.value)) == []
    assert "--" in message_of(caught.value)


def test_missing_credentials_are_asked_for_by_flag():
    with pytest.raises(errors.ConfigurationError) as caught:
        EnvironmentSource({}).resolve()
    said = "or pass --credentials chain (profiles, RAM roles and OIDC)."
    assert said in message_of(caught.value)
    assert '--credentials chain needs pip install "oss-v' in message_of(caught.value)


OPERATIONS = {
    entry.name: entry.operation
    for entries in SECTIONS.values()
    for entry in entries
    if entry.operation is not None
}
GOOD = {
    "--vectors": '[{"key": "k", "data": [1, 2]}]',
    "--query-vector": "[1, 2]",
    "--dimension": "2",
    "--distance-metric": "cosine",
    "--body": '{"Version": "1", "Statement": []}',
    "--bucket-logging-status": '{"LoggingEnabled": {"TargetBucket": "b"}}',
    "--schema-configuration": '{"fields": []}',
    "--keys": "c",
    "--index-name": "notes",
}
BAD_JSON = [
    "{",
    "1",
    "null",
    "{}",
    "[]",
    '"x"',
    "[1]",
    "[null]",
    '{"x": [1e999]}',
    '{"float32": "x"}',
    '{"nonFilterableMetadataKeys": [1]}',
    '{"nonFilterableMetadataKeys": "a"}',
    '{"LoggingEnabled": {"TargetBucket": 1}}',
    '[{"key": 1, "data": [1]}]',
    '[{"key": "", "data": [1]}]',
    '[{"key": "a", "data": "x"}]',
    '[{"key": "a", "data": [1, true, "x"]}]',
    '[{"key": "a", "data": []}]',
    '[{"key": "a", "data": [1, 2], "metadata": [1]}]',
    '[{"key": "a", "data": [1, 2]}, {"key": "a", "data": [1, 2]}]',
]


def bad_values(flag):
    """Return values of a wrong kind, too small and too large, that a flag may not take."""
    if flag.opts[0] in {"--endpoint", "--local"}:
        return ["http://example.com", "ftp://x", "a b"] if flag.name == "endpoint" else ["/no/x.db"]
    if isinstance(flag.type, click.types.IntParamType | click.types.FloatParamType):
        return ["x", "0", "-1", str(10**12)]
    if isinstance(flag.type, click.Choice):
        return ["nonsense"]
    if flag.metavar in {"JSON", None} and type(flag.type).__name__ == "Json":
        return BAD_JSON
    if flag.is_flag or flag.type is click.BOOL:
        return []
    return ["", "A b-" * 20, "[1]", "[", "\udc80"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_argument_of_a_command_is_refused_in_python(stored, name):
    flags = {flag.opts[0]: flag for flag in OPERATIONS[name].flags}
    good = {opt: GOOD[opt] for opt in flags if opt in GOOD}
    for opt, flag in flags.items():
        refused = 0
        for value in bad_values(flag):
            words = {**good, opt: value}
            done = call(name, *stored[:2], *(part for pair in words.items() for part in pair))
            if done.status:
                refused += 1
                assert python_in(done.errors) == [], (opt, value, done.errors)
            if done.status == 2:
                assert opt in done.errors, (opt, value, done.errors)
        assert refused or opt in NEVER_REFUSED | {"--key"}, opt


NEVER_REFUSED = {
    *("--return-data", "--return-metadata", "--return-distance"),
    *("--all", "--as-document", "--for-documents", "--wait"),
}


@pytest.mark.parametrize(
    "flag", [flag for flag in CONNECTION if not flag.hidden], ids=lambda flag: flag.opts[0]
)
def test_no_part_of_a_connection_is_refused_in_python(flag):
    good = dict(zip(REMOTE[::2], REMOTE[1::2], strict=True))
    for value in bad_values(flag):
        given = {} if flag.name == "local" else {**good, "--index-name": "i"}
        words = {**given, "--keys": "a", flag.opts[0]: value}
        done = call("get-vectors", *(part for pair in words.items() for part in pair))
        assert done.status, (flag.opts[0], value)
        assert python_in(done.errors) == []
        assert done.status == 2
        if value and flag.name != "local" and "No credentials" not in done.errors:
            assert flag.opts[0] in done.errors, (value, done.errors)


OTHERS = {
    "import": ["--format x", "--format npy", "--lines no.jsonl", "--batch 0", "--batch 501",
               "--batch x", "--parallel 0", "--parallel 65", "--parallel x", "--on-error x",
               "--distance-metric x", "--index-name a-b", "--journal /no/where", "--timeout 0",
               "--rate-limit 0"],
    "export": ["--format x", "--lines no.jsonl", "--batch 0", "--batch 1001", "--batch x",
               "--segments 0", "--segments 17", "--segments x", "--filter 1", "--filter {",
               "--index-name a-b", "--journal /no/where", "--max-concurrency 0"],
    "doctor": ["--output-format x", "--output-query [", "--key"],
    "explain": ["--neighbors -1", "--neighbors x", "--output-format xml", "--index-name a-b",
                "--output-query [", "--text-key"],
    "serve": ["--port x", "--port -1", "--port 65536", "--data /no/x.db", "--behaviour x",
              "--allow-host http://x", "--head-timeout 0",
              "--body-timeout x",
              "--behaviour order=x", "--bucket x", "--account-id x", "--access-key-id ",
              "--access-key-secret x", "--access-key-file /no/keys"],
    "demo": ["--data"],
    "mcp": ["--transport x", "--allow -", "--allow [", "--filter -", "--filter {", "--filter 1",
            "--k 0", "--k x", "--max-characters 10", "--max-ids 101", "--snippet -1", "--scan x",
            "--metadata-fields [", "--port x", "--allow-host http://x", "--token secret",
            "--index-name a-b"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "words"), [(name, words) for name in OTHERS for words in OTHERS[name]]
)
def test_no_flag_of_the_other_commands_is_refused_in_python(stored, tmp_path, name, words):
    flag, given, value = words.partition(" ")
    (tmp_path / "v.jsonl").write_text('{"key": "k", "data": [1, 2]}')
    file = {
        "import": [tmp_path / "v.jsonl"],
        "export": [tmp_path / "out.jsonl"],
        "explain": ["c"],
    }.get(name, [])
    own = stored if file else []
    done = call(name, *file, *own, flag, *([value] if given else []))
    assert done.status == 2
    # what is wrong with a file is said of its path; switches of the service have names of their own
    if "/no/" not in value:
        assert flag in done.errors or words == "--format npy"
    if flag != "--behaviour":
        assert python_in(done.errors) == []


def test_each_missing_part_of_a_connection_is_asked_for_by_its_flag():
    for left_out in range(0, 6, 2):
        given = REMOTE[:left_out] + REMOTE[left_out + 2 :]
        done = call("get-vectors", "--keys", "a", *given)
        assert done.status == 2
        assert f"pass {REMOTE[left_out]} or set the environment variable OSS_" in done.errors
        assert python_in(done.errors) == []
    assert "pass --index-name or" in call("get-vectors", "--keys", "a", *REMOTE).errors


def test_there_is_a_flag_for_each_argument_that_an_operation_takes():
    for operation in OPERATIONS.values():
        for flag in operation.flags:
            assert FLAGS[flag.name] == flag.opts[0]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.ConfigurationError("x"), 2),
        (errors.InvalidRequestError("x"), 2),
        (errors.ServiceError("AccessDenied", 403), 1),
        (errors.TransportError("x"), 1),
        (errors.DeadlineExceededError("x"), 1),
        (errors.ResponseError("x"), 1),
        (OSError(28, "No space left on device", "f"), 1),
        (OSError(2, "No such file or directory", "f"), 2),
        (ModuleNotFoundError("x", name="pyarrow"), 2),
    ],
)
def test_each_kind_of_error_has_a_status(error, status):
    assert failure_of(error).exit_code == status


def test_an_error_that_nobody_foresaw_is_not_hidden():
    assert failure_of(ValueError("x")) is None
    assert failure_of(ModuleNotFoundError("x", name="ours")) is None


def test_a_write_that_failed_in_part_says_how_much():
    failed = errors.QpsLimitExceededError("QpsLimitExceeded", 503, "Slow down.")
    report = WriteReport((BatchReport(("a", "b"), "id"), BatchReport(("c",), error=failed)))
    with pytest.raises(errors.PartialWriteError) as caught:
        raise_failures(report)
    failure = failure_of(caught.value)
    assert failure.exit_code == PARTIAL
    assert failure.message.startswith("1 of 3 keys failed, 'c' first: QpsLimitExceeded")
    assert "--rate-limit" in failure.message


def test_a_write_of_which_nothing_succeeded_is_the_services_error():
    failed = errors.ServiceError("QpsLimitExceeded", 503, "Slow down.")
    with pytest.raises(errors.ServiceError):
        raise_failures(WriteReport((BatchReport(("c",), error=failed),)))
    assert raise_failures(WriteReport(())) is None
