"""A record of an emulator says what its switches were set to, and makes one that answers alike."""

import json
import random
from dataclasses import fields, replace
from typing import Literal, get_args, get_origin

import pytest
from support.caller import Caller
from support.promises import sized
from support.stepped import MovedClock, open_service, probe_of

from oss_vector_retriever import AccessDeniedError, AccountRecord
from oss_vector_retriever.cli.recording import run
from oss_vector_retriever.cli.recording.questions import QUESTIONS
from oss_vector_retriever.client.models.account_record import ANSWERS
from oss_vector_retriever.emulator import AccessKey, Behaviour
from oss_vector_retriever.emulator.behaviour import SWITCHES

# of the numbers, what may be set; they are measured to a tenth of a second, later to half a one
SECONDS = (0.0, 0.2, 1.0, 12.0, 3.5)
NUMBERS = {
    "requests_per_second": (None, 150.0, 20.0),
    "bucket_name_kept_seconds": (0.0, 0.5, 3.0, 4 * 3600.0),
    "seed": (None, 7),
}
SEEDS = sized(3, 50)
REQUESTS = sized(25, 200)


def values_of(name):
    """Return the values that a switch is set to here."""
    kind = SWITCHES[name]
    if get_origin(kind) is Literal:
        return get_args(kind)
    return (False, True) if kind is bool else NUMBERS.get(name, SECONDS)


def another_value_of(name):
    """Return one of the values that are not the default."""
    return next(value for value in values_of(name)[::-1] if value != getattr(Behaviour(), name))


def record_of(behaviour):
    """Return the record of an emulator of a behaviour."""
    clock, limits = MovedClock(), behaviour.requests_per_second is not None
    with open_service(clock, behaviour, max_body_bytes=2 * 1024 * 1024) as service:
        text = text_of(probe_of(service, clock), limits=limits)
    return AccountRecord.from_dict(json.loads(text))


def text_of(probe, *, limits=False):
    """Return what a run writes into its file."""
    probe.make_bucket()
    found = run.ask_all(probe, tell=lambda _: None, limits=limits)
    probe.clean_up()
    return probe.hide_names(run.text_of(run.make_record("cn-hangzhou", found)))


def told(behaviour):
    """Return what of a behaviour anybody can see: a state that never is shows nothing."""
    if behaviour.index_creation_seconds == 0:
        behaviour = replace(behaviour, creating_refuses_writes=False)
    return replace(behaviour, seed=None)


def check(behaviour, seed):
    record = record_of(behaviour)
    again = Behaviour.from_record(record)
    assert told(again) == told(behaviour), seed
    # a shuffle is known for one; its seed is a test's own affair
    dice = {"seed": behaviour.seed or 7}
    compare(replace(behaviour, **dice), replace(again, **dice), seed)


# 200 requests


class Asker:
    """Make requests as a generator of random numbers has it, for two services alike."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.keys = [f"k{number}" for number in range(12)]
        self.names = ["index1"]

    def ask(self, callers):
        """Return the replies of the services to the same request."""
        name, members = getattr(self, self.random.choice(self.OPERATIONS))()
        body = json.dumps(members).encode() if isinstance(members, dict) else members
        return [caller.send("POST", name, body) for caller in callers]

    def some(self, most=8):
        return [
            self.random.choice([*self.keys, "nobody"]) for _ in range(self.random.randint(1, most))
        ]

    def flag(self):
        return self.random.random() < 0.5

    def metadata(self):
        choice = self.random.random()
        if choice < 0.1:
            return {f"f{number}": "v" for number in range(10)} | {"hidden": "h"}
        if choice < 0.3:
            return {"tag": self.random.choice([1, 0.5, True, "a"]), "hidden": "h"}
        return None if choice < 0.5 else {"tag": self.random.choice("ab"), "hidden": "h"}

    def condition(self):
        value = self.random.choice(["a", "b", 1, True])
        return self.random.choice(
            [
                {"tag": value},
                {"tag": {"$eq": value}},
                {"tag": {"$ne": value}},
                {"$and": [{"$or": [{"tag": {"$nin": ["a", "b"]}}]}]},
                {"hidden": {"$eq": "h"}},
                {"tag": {"$exists": False}},
                {},
            ]
        )

    def put(self):
        vectors = [
            {
                "key": key,
                "data": {"float32": [round(self.random.uniform(-2, 2), 1) for _ in range(2)]},
            }
            | ({"metadata": metadata} if (metadata := self.metadata()) else {})
            for key in set(self.some()) - {"nobody"}
        ]
        if self.random.random() < 0.1:
            vectors.append({"key": "zero", "data": {"float32": [0, 0]}})
        return "putVectors", {"indexName": self.random.choice(self.names), "vectors": vectors}

    def get(self):
        keys = self.some() * self.random.choice([1, 1, 20])
        members = {"indexName": "index1", "keys": keys}
        return "getVectors", members | {"returnData": self.flag(), "returnMetadata": self.flag()}

    def list(self):
        members = {"indexName": "index1", "maxResults": self.random.randint(1, 20)}
        if self.flag():
            members["filter"] = self.condition()
        return "listVectors", members | {"returnMetadata": self.flag()}

    def query(self):
        members = {
            "indexName": self.random.choice(self.names),
            "queryVector": {"float32": [1, self.random.uniform(-1, 1)]},
            "topK": self.random.choice([1, 3, 10, 30, 31, 100, 101, 500, 501]),
            "returnDistance": self.flag(),
        }
        if self.flag():
            members["filter"] = self.condition()
        return "queryVectors", members | {"returnMetadata": self.flag()}

    def delete(self):
        return "deleteVectors", {"indexName": "index1", "keys": self.some(3)}

    def make(self):
        name = f"made{len(self.names)}"
        self.names.append(name)
        members = {"indexName": name, "dataType": "float32", "dimension": 2}
        members["metadata"] = {"nonFilterableMetadataKeys": ["hidden"]}
        return "putVectorIndex", members | {"distanceMetric": "cosine"}

    def describe(self):
        return "getVectorIndex", {"indexName": self.random.choice(self.names)}

    OPERATIONS = ("put", "get", "list", "query", "query", "delete", "make", "describe")


def compare(one, other, seed, requests=REQUESTS):
    """Ask two emulators the same, while time goes by; compare all but ids and dates."""
    clock, asker = MovedClock(), Asker(seed)
    with open_service(clock, one) as first, open_service(clock, other) as second:
        callers = [TimedCaller(service, clock) for service in (first, second)]
        for caller in callers:
            caller.make_index(dimension=2, non_filterable=["hidden"])
        for number in range(requests):
            replies = asker.ask(callers)
            if number % 50 == 10:  # more at once than a slow service takes
                replies += [reply for _ in range(30) for reply in asker.ask(callers)]
            if number % 20 == 0:
                replies += ask_buckets(callers, f"bucket{number}")
            for mine, theirs in zip(replies[::2], replies[1::2], strict=True):
                assert bare(mine) == bare(theirs), (seed, number)
            clock.sleep(asker.random.choice([0.0, 0.0, 0.1, 0.5, 2.0]))


def ask_buckets(callers, name):
    """Make a bucket, list it, delete it, and make it again."""
    steps = (("PUT", name), ("GET", None), ("DELETE", name), ("PUT", name))
    return [caller.send(method, bucket=bucket) for method, bucket in steps for caller in callers]


class TimedCaller(Caller):
    """Sign requests for the time of a clock."""

    def __init__(self, service, clock):
        super().__init__(service)
        self.clock = clock

    def sign(self, *words, **other):
        return super().sign(*words, now=self.clock(), **other)


def bare(reply):
    """Return what of a reply is no id and no time."""
    changing = ("date", "x-oss-request-id", "x-oss-server-time")
    headers = {name: value for name, value in reply.headers.items() if name not in changing}
    body = reply.body.replace(reply.headers["x-oss-request-id"].encode(), b"")
    return reply.status, headers, body


# What is shown


@pytest.mark.parametrize(
    ("name", "value"),
    # in a usual run one value that is not the default
    [
        (name, value)
        for name in ANSWERS
        for value in sized([another_value_of(name)], values_of(name))
    ],
)
def test_a_switch_is_found_out(name, value):
    check(replace(Behaviour(), **{name: value}), f"{name}={value}")


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_random_set_of_switches_is_found_out(seed):
    source = random.Random(seed)
    chosen = {field.name: source.choice(values_of(field.name)) for field in fields(Behaviour)}
    check(Behaviour(**chosen), seed)


@pytest.mark.parametrize(
    "name",
    sorted(set(ANSWERS) - {"creating_refuses_writes"}),  # which is nothing by itself
)
def test_two_that_differ_do_not_answer_alike(name):
    other = replace(Behaviour(), **{name: another_value_of(name)})
    with pytest.raises(AssertionError):
        compare(Behaviour(), other, name, requests=200)


def test_every_switch_is_a_question_and_may_be_what_the_record_says():
    assert set(ANSWERS) == set(SWITCHES) - {"seed"}
    asked = [name for question in QUESTIONS for name in question.names]
    assert set(ANSWERS) <= set(asked)
    assert len(asked) == len(set(asked))
    for name, possible in ANSWERS.items():
        if possible is not float:
            assert set(possible) == set(values_of(name)), name


def test_a_name_that_is_kept_for_hours_is_not_waited_for():
    record = record_of(Behaviour(bucket_name_kept_seconds=4 * 3600.0))
    assert record.unanswered["bucket_name_kept_seconds"] == "longer than 10 s"


def test_a_delay_is_never_told_too_short_where_requests_come_too_fast():
    slow = Behaviour(requests_per_second=1.0, query_delay_seconds=3.5, get_delay_seconds=3.5)
    found = record_of(slow).behaviour
    assert 3.5 <= found["query_delay_seconds"] <= 10
    assert 3.5 <= found["get_delay_seconds"] <= 10
    assert found["requests_per_second"] == 1.0


# Questions that fail


def answer_otherwise(service, operation, reply):
    """Have a service answer an operation with what `reply` makes of the right reply."""
    handle = service.handle

    def respond(request):
        right = handle(request)
        return reply(right) if operation in request.query else right

    service.handle = respond


def refusal(status, code):
    body = json.dumps({"Error": {"Code": code, "Message": "no"}}).encode()
    return lambda right: replace(right, status=status, body=body)


def found_with(operation, reply):
    clock = MovedClock()
    with open_service(clock, Behaviour(order="storage")) as service:
        answer_otherwise(service, operation, reply)
        return json.loads(text_of(probe_of(service, clock, patience=2.0)))


def test_a_question_that_is_denied_is_recorded_with_the_code_and_the_others_are_answered():
    found = found_with("listVectors", refusal(403, "AccessDenied"))
    denied = {name for name, reason in found["unanswered"].items() if reason == "403 AccessDenied"}
    assert denied == {
        "list_filter",
        "list_order",
        "segments_hold_each_once",
        "segment_of_vector_key_1",
    }
    assert set(ANSWERS) - found["behaviour"].keys() == {
        "list_filter",
        "creating_refuses_writes",
        "requests_per_second",
    }


def test_a_service_that_fails_in_the_middle_is_asked_on():
    found = found_with("queryVectors", refusal(500, "InternalError"))
    reasons = found["unanswered"]
    assert reasons["query_delay_seconds"] == "500 InternalError"
    assert reasons["top_k_limit"] == "needs query_delay_seconds"
    assert found["behaviour"].get("bucket_name_kept_seconds") == 0.0


BODIES = (
    b"{}",
    b"[]",
    b"null",
    b'{"vectors":7}',
    b'{"vectors":[{}]}',
    b"<x>",
    b"",
    b'{"vectors":[1]}',
)


@pytest.mark.parametrize("body", BODIES[sized(-2, 0) :])
@pytest.mark.parametrize(
    "operation", ["getVectors", "queryVectors", "listVectors", "getVectorIndex"]
)
def test_no_reply_ends_the_run(operation, body):
    found = found_with(operation, lambda right: replace(right, body=body))
    AccountRecord.from_dict(found)
    assert found["behaviour"]["bucket_name_kept_seconds"] == 0.0


def test_a_bucket_that_cannot_be_made_is_nobodys_to_delete():
    clock = MovedClock()
    with open_service(clock, Behaviour()) as service:
        asked = []
        answer_otherwise(service, "", lambda right: asked.append(right) or right)
        service.access_keys = {}
        probe = probe_of(service, clock)
        with pytest.raises(AccessDeniedError):
            probe.make_bucket()
        probe.clean_up()
        assert len(asked) == 1


# What stands in the file


CANARIES = {
    "account": "9753186420975318",
    "id": "LTAIcanarykeyid",
    "secret": "canary-of-a-secret",
    "token": "canary-of-a-token",
}


def test_a_record_names_no_account_no_bucket_and_no_key():
    key = AccessKey(
        CANARIES["id"], CANARIES["secret"], CANARIES["account"], security_token=CANARIES["token"]
    )
    clock, behaviour = MovedClock(), Behaviour(scalars="strings", requests_per_second=20)
    with open_service(clock, behaviour, access_keys=[key], max_body_bytes=2**20) as service:
        answer_otherwise(service, "", lambda right: spoil(right, probe.bucket))
        probe = probe_of(
            service,
            clock,
            account_id=CANARIES["account"],
            credentials=(key.id, key.secret, key.security_token),
        )
        text = text_of(probe, limits=True)
    assert probe.bucket not in text
    for canary in CANARIES.values():
        assert canary not in text
    assert "canary" not in text
    assert "***" not in text  # there was nothing to cut out
    found = json.loads(text)
    assert found["observations"]["error_of_no_index"]["outcome"] == "404"
    assert found["behaviour"]["scalars"] == "strings"


def spoil(right, bucket):
    """Have an error say all that it knows wherever it says anything."""
    if right.ok or right.status == 503:  # which is waited for
        return right
    known = " ".join([*CANARIES.values(), bucket])
    members = {"Code": known, "Message": known, "HostId": known, "EC": known, known: known}
    headers = {**right.headers, "content-type": f"application/json; charset={known}"}
    return replace(right, headers=headers, body=json.dumps({"Error": members}).encode())


def test_what_an_answer_should_hold_all_the_same_is_cut_out():
    record = AccountRecord(
        region="cn-hangzhou",
        recorded="2026-11-01T12:00:00+00:00",
        package="1",
        observations={"a": [f"of {CANARIES['account']}: {CANARIES['id']}", CANARIES["token"]]},
    )
    clock = MovedClock()
    with open_service(clock, Behaviour()) as service:
        probe = probe_of(
            service,
            clock,
            account_id=CANARIES["account"],
            credentials=(CANARIES["id"], "s", CANARIES["token"]),
        )
        text = probe.hide_names(run.text_of(record))
    # a secret of one letter, as only a test has, is not looked for
    assert json.loads(text)["observations"] == {"a": ["of ***: ***", "***"]}
