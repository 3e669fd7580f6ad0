"""`policy`: the rights that commands need, as the service names them."""

import re
from pathlib import Path

import pytest
from support.command_line import call

from oss_vector_retriever.cli.catalogue import LEVELS
from oss_vector_retriever.cli.commands.policy import CLASSES
from oss_vector_retriever.client import errors
from oss_vector_retriever.emulator.operations.table import OPERATIONS

PAGE = Path(__file__).parents[3] / "docs" / "command-line.md"
HERE = ("--bucket", "bkt", "--account-id", "42", "--region", "cn-x", "--index-name", "notes")
ARN = "acs:ossvector:cn-x:42:bkt"


def kebab(name):
    return re.sub(r"(?<=.)(?=[A-Z])", "-", name).lower()


def policy(*words):
    done = call("policy", *words)
    assert done.status == 0, done.errors
    return done.json


def test_each_operation_is_about_what_the_service_takes_it_to_be_about():
    assert {operation.name: operation.level for operation in OPERATIONS} == LEVELS


def test_resources_have_the_documented_forms():
    wanted = "get-vectors,put-vector-index,get-vector-bucket,query-vectors"
    assert policy("--for", wanted, *HERE, "--principal", "7,8") == {
        "Version": "1",
        "Statement": [
            {"Effect": "Allow", "Action": ["oss:GetVectorBucket"], "Principal": ["7", "8"],
             "Resource": [ARN]},
            {"Effect": "Allow", "Action": ["oss:PutVectorIndex"], "Principal": ["7", "8"],
             "Resource": [f"{ARN}/notes"]},
            {"Effect": "Allow", "Action": ["oss:GetVectors", "oss:QueryVectors"],
             "Principal": ["7", "8"], "Resource": [f"{ARN}/notes/*"]},
        ],
    }  # fmt: skip


def test_a_ram_policy_is_the_same_without_a_principal():
    for name in ("get-vectors,put-vector-index", "langchain.OSSVectorStore"):
        bucket = policy("--for", name, *HERE, "--principal", "7")
        for statement in bucket["Statement"]:
            assert statement.pop("Principal") == ["7"]
        done = call("policy", "--for", name, *HERE, "--ram")
        assert (done.json, done.errors) == (bucket, "")


def test_what_is_before_or_outside_a_bucket_is_for_ram_alone():
    for name in ("list-vector-buckets", "put-vector-bucket"):
        done = call("policy", "--for", name, *HERE)
        assert (done.status, done.output) == (2, "")
        assert "--ram" in done.errors
    (listing,) = policy(
        "--for", "list-vector-buckets", "--ram", "--account-id", "42", "--region", "cn-x"
    )["Statement"]
    assert listing["Resource"] == ["acs:ossvector:cn-x:42:*"]


def test_a_name_may_be_the_command_s_the_api_s_or_the_action_s():
    asked = ("get-vectors", "GetVectors", "oss:GetVectors", "getVectors")
    policies = [policy("--for", name, *HERE, "--ram") for name in asked]
    assert policies == [policies[0]] * 4
    both = policy("--for", "get-vectors", "--for", '["list-vectors", "get-vectors"]', *HERE)
    assert both["Statement"][0]["Action"] == ["oss:GetVectors", "oss:ListVectors"]
    full = policy("--for", "oss_vector_retriever.llama_index.OSSVectorReader", *HERE, "--ram")
    assert full == policy("--for", "llama_index.OSSVectorReader", *HERE, "--ram")


def test_access_says_how_much_a_class_may_do():
    actions = {}
    for access in ("read", "write", "create"):
        found = policy("--for", "langgraph.OSSVectorGraphStore", "--access", access, *HERE, "--ram")
        actions[access] = {one for part in found["Statement"] for one in part["Action"]}
    assert actions["read"] < actions["write"] < actions["create"]
    assert actions["create"] - actions["write"] == {"oss:PutVectorIndex"}


def test_for_fusion_what_any_page_asks_for_is_granted():
    found = policy("--for", "query-vectors-fusion,put-vector-index-fusion", *HERE, "--ram")
    assert [part["Action"] for part in found["Statement"]] == [
        ["oss:PutVectorIndexFusion", "oss:PutVectorIndex"],
        ["oss:QueryVectorsFusion", "oss:QueryVectors", "oss:GetVectors"],
    ]


def test_the_place_comes_from_the_environment_and_from_what_the_console_shows(monkeypatch):
    monkeypatch.setenv("OSS_VECTORS_INDEX", "notes")
    shown = "https://my-bucket-1234567890123456.cn-beijing-internal.oss-vectors.aliyuncs.com"
    (one,) = policy("--for", "get-vectors", "--ram", "-e", shown)["Statement"]
    arn = "acs:ossvector:cn-beijing:1234567890123456:my-bucket"
    assert one["Resource"] == [f"{arn}/notes/*"]
    again = policy("--for", "get-vectors", "--ram", "--bucket", arn)
    assert again["Statement"] == [one]
    (any_region,) = policy("--for", "get-vectors", "--ram", "--bucket", arn, "--any-region")[
        "Statement"
    ]
    assert any_region["Resource"] == [f"{arn}/notes/*".replace("cn-beijing", "*")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--for", "frobnicate", *HERE], "get-vectors"),
        (["--for", "langchain.OSSVectorstore", *HERE], "langchain.OSSVectorStore"),
        (["--for", "OSSVectorStore", *HERE], "llama_index.OSSVectorStore"),
        (["--for", "import", *HERE], "is neither a command"),
        (["--for", "", *HERE], "--for"),
        ([*HERE], "Missing option '--for'"),
        (["--for", "get-vectors", *HERE[:-2]], "--index-name"),
        (["--for", "get-vectors", *HERE[2:]], "--bucket"),
        (["--for", "get-vectors", *HERE, "--access", "all"], "'--access'"),
    ],
    ids=str,
)
def test_what_cannot_be_printed_is_refused(words, said):
    done = call("policy", *words)
    assert (done.status, done.output) == (2, "")
    assert said in done.errors


def test_without_a_principal_a_note_says_what_to_put():
    done = call("policy", "--for", "get-vectors", *HERE)
    (statement,) = done.json["Statement"]
    assert statement["Principal"] == ["RAM-USER-ID"]
    assert "RAM-USER-ID" in done.errors
    assert "--principal" in done.errors


def test_the_page_shows_what_each_class_needs():
    rows = re.findall(r"^\| (\w+\.\w+) \| (.+) \| (.+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    shown = {name: tuple("" if p == "-" else p.replace(",", "") for p in parts)
             for name, *parts in rows}  # fmt: skip
    assert shown == {name: tuple(needs) for name, needs in CLASSES.items()}


@pytest.mark.parametrize("name", LEVELS)
def test_a_refusal_names_the_command_that_prints_what_to_grant(name):
    error = errors.AccessDeniedError("AccessDenied", 403, "No.")
    assert "policy --for" not in str(error)
    error.where = f"{name} on index 'notes' of bucket 'bkt'"
    command = f"oss-vectors policy --for {kebab(name)}"
    assert f"`{command}` prints what to grant." in str(error)
    assert policy(*command.split()[2:], *HERE, "--ram")["Statement"]


def test_advice_on_rights_is_given_where_rights_are_the_matter():
    for code in ("UserDisable", "InvalidAccessKeyId", "SignatureDoesNotMatch"):
        error = errors.service_error_class(code, 403)(code, 403, "No.")
        error.where = "GetVectors of bucket 'bkt'"
        assert "policy --for" not in str(error)
    error = errors.AccessDeniedError("AccessDenied", 403, "No.")
    error.where = "invoke-operation Frobnicate of bucket 'bkt'"
    assert "policy --for" not in str(error)


def test_the_lines_of_the_page_run(monkeypatch):
    for flag, name in zip(HERE[::2], ("VECTORS_BUCKET", "ACCOUNT_ID", "REGION", "VECTORS_INDEX"),
                          strict=True):  # fmt: skip
        monkeypatch.setenv(f"OSS_{name}", HERE[HERE.index(flag) + 1])
    lines = re.findall(r"^\$ oss-vectors (policy .+)$", PAGE.read_text(), re.MULTILINE)
    assert len(lines) == 2
    for line in lines:
        done = call(*line.split())
        assert (done.status, done.errors) == (0, "")
        # a class reads large values from the side index, too
        indexes = ["notes", "notesside"] if "langchain" in line else ["notes"]
        assert done.json["Statement"][-1]["Resource"] == [f"{ARN}/{name}/*" for name in indexes]
