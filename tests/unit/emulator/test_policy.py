import orjson
import pytest

from oss_vector_retriever.client.models.messages import Request
from oss_vector_retriever.emulator import DEVELOPMENT_BUCKET, AccessKey
from oss_vector_retriever.emulator.rules.policy import authorise
from oss_vector_retriever.emulator.rules.refusals import Refusal

OWNER, STRANGER = "1000000000000001", "2000000000000002"
ALL = "acs:ossvector:*:*:*"


def statement(effect="Deny", action="oss:GetVectors", principal="*", resource=ALL, **more):
    return {
        "Effect": effect,
        "Action": action,
        "Principal": principal,
        "Resource": resource,
        **more,
    }


def policy(*statements):
    return orjson.dumps({"Version": "1", "Statement": list(statements)})


@pytest.fixture
def people(make_caller):
    """Return an owner, a RAM user of the same account, and a stranger, on one bucket."""
    keys = {
        "owner": AccessKey("owner", "s1", OWNER),
        "user": AccessKey("user", "s2", OWNER, user="ann"),
        "stranger": AccessKey("stranger", "s3", STRANGER),
    }
    service = make_caller(access_keys=keys.values()).service
    found = {name: make_caller.Caller(service, key) for name, key in keys.items()}
    for name in ("index1", "index2"):
        found["owner"].make_index(name)
    found["owner"].put(("a", [1, 2, 3]))
    return found


def put_policy(people, *statements):
    assert people["owner"].send("PUT", "policy", policy(*statements)).status == 200


def get_status(caller, index="index1"):
    origin = f"http://{DEVELOPMENT_BUCKET}-{OWNER}.cn-hangzhou.oss-vectors.aliyuncs.com"
    members = {"indexName": index, "keys": ["a"]}
    status, parsed = caller.post("getVectors", members, origin=origin, path="/", account=OWNER)
    assert status in (200, 403), parsed
    assert status == 200 or parsed["Error"]["Code"] == "AccessDenied"
    return status


def test_without_a_policy_only_the_owner_may(people):
    assert [get_status(people[name]) for name in people] == [200, 403, 403]


def test_a_deny_holds_for_everybody_and_beats_an_allow(people):
    put_policy(people, statement("Allow"), statement("Deny"))
    assert [get_status(people[name]) for name in people] == [403, 403, 403]
    assert people["owner"].post("listVectors", {"indexName": "index1"})[0] == 200


@pytest.mark.parametrize(
    ("principal", "allowed"),
    [
        ("*", {"user", "stranger"}),
        (["ann"], {"user"}),
        ([f"acs:ram::{OWNER}:user/ann"], {"user"}),
        ([STRANGER], {"stranger"}),
        ([f"acs:ram::{STRANGER}:root", "bob"], {"stranger"}),
        ([OWNER], set()),
    ],
)
def test_an_allow_names_who_may(people, principal, allowed):
    put_policy(people, statement("Allow", principal=principal))
    statuses = {name: get_status(caller) for name, caller in people.items()}
    assert {name for name, status in statuses.items() if status == 200} == allowed | {"owner"}


@pytest.mark.parametrize(
    ("resource", "index1", "index2"),
    [
        (f"acs:ossvector:cn-hangzhou:{OWNER}:bucket/{DEVELOPMENT_BUCKET}/*", 403, 403),
        (f"acs:ossvector:*:*:bucket/{DEVELOPMENT_BUCKET}/index1/*", 403, 200),
        (f"acs:ossvector:cn-hangzhou:{OWNER}:{DEVELOPMENT_BUCKET}/index1/*", 403, 200),
        (f"acs:ossvector:cn-hangzhou:{OWNER}:bucket/{DEVELOPMENT_BUCKET}", 200, 200),
        ("acs:ossvector:*:*:bucket/another/*", 200, 200),
        (f"acs:ossvector:*:*:bucket/bucket/{DEVELOPMENT_BUCKET}/*", 200, 200),
    ],
)
def test_a_resource_is_written_with_the_word_bucket_or_without(people, resource, index1, index2):
    put_policy(people, statement(resource=[resource]))
    owner = people["owner"]
    assert (get_status(owner), get_status(owner, "index2")) == (index1, index2)


@pytest.mark.parametrize("effect", ["Allow", "Deny"])
def test_a_bare_name_is_that_of_a_user_of_the_owner_s_account_alone(effect):
    text = policy(statement(effect, principal="ann")).decode()
    resource = f"acs:ossvector:cn-hangzhou:{OWNER}:{DEVELOPMENT_BUCKET}/index1/*"

    def is_allowed(account, user):
        key = AccessKey("id", "secret", account, user=user)
        try:
            authorise(key, "GetVectors", resource, OWNER, text)
        except Refusal:
            return False
        return True

    assert is_allowed(OWNER, "ann") is (effect == "Allow")
    assert not is_allowed(STRANGER, "ann")
    # A user whose name is the digits of an account is not that account.
    text = policy(statement("Allow", principal=STRANGER)).decode()
    assert is_allowed(STRANGER, None)
    assert not is_allowed("3000000000000003", STRANGER)


@pytest.mark.parametrize(
    ("action", "status"),
    [
        ("oss:GetVectors", 403),
        ("ossvector:GetVectors", 403),
        ("OSS:getvectors", 403),
        ("oss:Get*", 403),
        ("oss:GetVector?", 403),
        ("*", 403),
        (["oss:PutVectors", "oss:GetVectors"], 403),
        ("oss:PutVectors", 200),
        ("oss:GetVector", 200),
        ("GetVectors", 200),
        ("oss.GetVectors", 200),
    ],
)
def test_an_action_may_have_wildcards(people, action, status):
    put_policy(people, statement(action=action))
    assert get_status(people["owner"]) == status


@pytest.mark.parametrize(
    ("resource", "statuses"),
    [
        ("*", (403, 403)),
        (f"acs:ossvector:*:*:{DEVELOPMENT_BUCKET}/index1/*", (403, 200)),
        (f"acs:ossvector:cn-hangzhou:{OWNER}:{DEVELOPMENT_BUCKET}/*", (403, 403)),
        (f"acs:ossvector:*:*:{DEVELOPMENT_BUCKET}/index1", (200, 200)),
        (f"acs:ossvector:us-east-1:*:{DEVELOPMENT_BUCKET}/*", (200, 200)),
        (f"acs:ossvector:*:{STRANGER}:{DEVELOPMENT_BUCKET}/*", (200, 200)),
    ],
)
def test_a_resource_may_be_one_index(people, resource, statuses):
    put_policy(people, statement(resource=resource))
    assert tuple(get_status(people["owner"], name) for name in ("index1", "index2")) == statuses


def test_an_index_operation_is_about_the_index_and_a_bucket_operation_about_the_bucket(people):
    bucket = f"acs:ossvector:*:*:{DEVELOPMENT_BUCKET}"
    owner = people["owner"]
    put_policy(people, statement(action="oss:*", resource=f"{bucket}/index1"))
    assert owner.code("getVectorIndex", {"indexName": "index1"}) == (403, "AccessDenied")
    assert owner.post("getVectorIndex", {"indexName": "index2"})[0] == 200
    assert owner.post("listVectorIndexes")[0] == 200
    put_policy(people, statement(action="oss:*", resource=bucket))
    assert owner.code("listVectorIndexes") == (403, "AccessDenied")
    assert owner.post("getVectorIndex", {"indexName": "index1"})[0] == 200


def test_a_denied_call_is_refused_before_its_body_is_judged(people):
    put_policy(people, statement(action="oss:*"))
    assert people["owner"].code("getVectors", b"{not json") == (403, "AccessDenied")


def test_the_owner_cannot_be_locked_out_of_the_policy(people):
    put_policy(people, statement(action="*"))
    owner = people["owner"]
    assert owner.send("GET", "policy").body == policy(statement(action="*"))
    assert people["user"].send("DELETE", "policy").status == 403
    assert owner.send("DELETE", "policy").status == 204
    assert get_status(owner) == 200
    gone = owner.send("GET", "policy")
    assert (gone.status, orjson.loads(gone.body)["Error"]["Code"]) == (404, "NoSuchBucketPolicy")


def test_nobody_makes_buckets_in_another_account(people):
    origin = f"http://bucket-x-{OWNER}.cn-hangzhou.oss-vectors.aliyuncs.com"
    where = {"origin": origin, "path": "/", "bucket": "bucket-x", "account": OWNER}
    assert people["stranger"].send("PUT", **where).status == 403
    assert people["user"].send("PUT", **where).status == 403
    assert people["owner"].send("PUT", **where).status == 200


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (b"[]", "MalformedJson"),
        (b"{", "MalformedJson"),
        (b"{}", "InvalidPolicyDocument"),
        (b'{"Version":"2","Statement":[]}', "InvalidPolicyDocument"),
        (b'{"Version":"1","Statement":[]}', "InvalidPolicyDocument"),
        (b'{"Version":"1","Statement":["x"]}', "InvalidPolicyDocument"),
        (policy(statement("Perhaps")), "InvalidPolicyDocument"),
        (policy(statement(action=[])), "InvalidPolicyDocument"),
        (policy(statement(principal=[1])), "InvalidPolicyDocument"),
        (policy(statement(resource=None)), "InvalidPolicyDocument"),
        (policy(statement(Condition={"StringEquals": {}})), "NotImplemented"),
        (policy(statement(NotAction=["oss:GetVectors"])), "NotImplemented"),
    ],
)
def test_a_policy_that_cannot_be_obeyed_is_refused(people, document, code):
    reply = people["owner"].send("PUT", "policy", document)
    assert orjson.loads(reply.body)["Error"]["Code"] == code
    assert people["owner"].send("GET", "policy").status == 404


class TestAnonymous:
    ORIGIN = f"http://{DEVELOPMENT_BUCKET}-{OWNER}.cn-hangzhou.oss-vectors.aliyuncs.com"

    def ask(self, people, query="getVectors", method="POST", origin=ORIGIN, path="/", **members):
        body = orjson.dumps({"indexName": "index1", **members}) if method == "POST" else b""
        request = Request(method, origin, path, query, {}, body)
        reply = people["owner"].service.handle(request)
        parsed = orjson.loads(reply.body) if reply.body else {}
        return reply.status, parsed.get("Error", {}).get("Code")

    def test_callers_are_admitted_by_a_policy_for_everybody(self, people):
        assert self.ask(people, keys=["a"]) == (403, "AccessDenied")
        put_policy(people, statement("Allow", principal=["*"]))
        assert self.ask(people, keys=["a"]) == (200, None)
        # and held to the rules of whoever is admitted
        assert self.ask(people, keys=[]) == (400, "VectorIndexParameterInvalid")
        assert self.ask(people, "listVectors") == (403, "AccessDenied")
        assert self.ask(people, "policy", "GET") == (403, "AccessDenied")
        assert self.ask(people, "", "DELETE") == (403, "AccessDenied")

    def test_callers_are_denied_as_everybody_is(self, people):
        put_policy(people, statement("Allow", action="*"), statement("Deny", action="oss:Get*"))
        assert self.ask(people, keys=["a"]) == (403, "AccessDenied")
        assert self.ask(people, "listVectors") == (200, None)

    @pytest.mark.parametrize("principal", ["acs:ram::*:*", "**", "?*", OWNER, "a*", ""])
    def test_callers_are_nobody_in_particular(self, people, principal):
        if principal:
            put_policy(people, statement("Allow", principal=principal))
        assert self.ask(people, keys=["a"]) == (403, "AccessDenied")

    @pytest.mark.parametrize("operation", ["getVectors", "noSuchOperation", "policy"])
    def test_callers_learn_nothing_where_no_policy_admits_anybody(self, people, operation):
        for path in ("/", "/more/"):
            assert self.ask(people, operation, path=path) == (403, "AccessDenied")
        assert self.ask(people, operation, origin="http://127.0.0.1:9000") == (403, "AccessDenied")
        elsewhere = self.ORIGIN.replace(DEVELOPMENT_BUCKET, "no-such-bucket")
        assert self.ask(people, operation, origin=elsewhere) == (403, "AccessDenied")

    def test_callers_make_and_list_no_buckets(self, people):
        put_policy(people, statement("Allow", action="*"))
        region = "http://cn-hangzhou.oss-vectors.aliyuncs.com"
        assert self.ask(people, "", "GET", origin=region) == (403, "AccessDenied")
        new = self.ORIGIN.replace(DEVELOPMENT_BUCKET, "new-bucket")
        assert self.ask(people, "", "PUT", origin=new) == (403, "AccessDenied")

    def test_a_wrong_signature_is_not_anonymous(self, people):
        put_policy(people, statement("Allow", principal=["*"]))
        stranger = AccessKey("stranger", "wrong", STRANGER)
        caller = type(people["owner"])(people["owner"].service, stranger)
        members = {"indexName": "index1", "keys": ["a"]}
        where = {"origin": self.ORIGIN, "path": "/", "account": OWNER}
        assert caller.code("getVectors", members, **where) == (403, "SignatureDoesNotMatch")
