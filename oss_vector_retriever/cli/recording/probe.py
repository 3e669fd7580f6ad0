"""`Probe`: one account's service, asked in a bucket of the run's own.

Questions are asked as plain API calls: the client's own checks and readers would hide what is to be
found out. Signing, clock and throttling are the client's.
"""

import json
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from http import HTTPStatus
from typing import Any, TypeVar

from ...client import errors, fork
from ...client.clients import OSSVectorClient
from ...client.context import Context, Flow
from ...client.flow import Attempts, Operation, make_attempts, signed_request
from ...client.models import Reply
from ...client.retry import RetryPolicy
from ...client.steps import Fault, Send, Step, do_steps, run_all, send
from .answers import Answer, NoAnswerError, describe_error, read

T = TypeVar("T")
# the run's own indexes: one for most questions, one of other distances with many vectors, and one
# that the service may not be able to make
MAIN, MANY, FUSION = "doctormain", "doctormany", "doctorfusion"
INDEXES = (MAIN, MANY, FUSION)
READ = b'{"indexName":"%s","keys":["m"]' % MAIN.encode()  # the beginning of a GetVectors body
_ONCE = RetryPolicy(attempts=1)
_SHORTEST_NAME = 6  # characters
_DELETING_SECONDS = 20.0
# what is deleted may be seen for a while yet, and faults pass
_PASSING = (errors.BucketNotEmptyError, errors.InternalServiceError, errors.TransportError)
# Vectors of the main index in the order in which they are written, which is none that a sort makes.
AXIS = "mcxatfpk"
VECTORS: list[dict[str, Any]] = [
    {"key": key, "data": {"float32": [position, 0]}, "metadata": {"tag": "near", "hidden": "h"}}
    for position, key in enumerate(AXIS, 1)
]
VECTORS += [
    {
        "key": "far",
        "data": {"float32": [90, 0]},
        "metadata": {"tag": "far", "colours": ["red", "blue"], "hidden": "f"},
    },
    {"key": "bare", "data": {"float32": [0.1, 95]}},
    {"key": "vector-key-1", "data": {"float32": [0.5, 96]}, "metadata": {"tag": "near"}},
]
KEYS = {vector["key"] for vector in VECTORS}
MANY_VECTORS: list[dict[str, Any]] = [
    {"key": f"n{number}", "data": {"float32": [1, number / 64]}} for number in range(120)
]
AT = (1.0, 0.0)  # where most searches look from: the first vector's place


def tag_filter(value: object) -> dict[str, Any]:
    """Return the filter for one tag."""
    return {"tag": {"$eq": value}}


def extra(key: str, **metadata: object) -> dict[str, Any]:
    """Return a vector to write besides; no search for `VECTORS` finds it among the nearest."""
    vector: dict[str, Any] = {"key": key, "data": {"float32": [0.5, 99]}}
    return vector | ({"metadata": metadata} if metadata else {})


class Probe:
    """A service to ask, and what was made there.

    Args:
        client: of the account; its bucket and index are not used.
        patience: seconds to wait for anything that lags.
        sleep: waits; tests give a clock of their own.
        monotonic: tells the time that goes by, as the client does.

    Attributes:
        bucket: the name of the run's own bucket.
        has_bucket: whether that may be there.
        patience: as it was given.
        read_lag: seconds after which reads by key show what was written, once that is known.
    """

    def __init__(
        self,
        client: OSSVectorClient,
        patience: float,
        sleep: Callable[[float], object] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.bucket = f"doctor-{secrets.token_hex(8)}"
        self.patience = patience
        self.read_lag = 0.0
        self.sleep = sleep
        self.monotonic = monotonic
        self._client = client.with_options(bucket=self.bucket, index=MAIN)
        self.has_bucket = False
        self._sent: deque[float] = deque([monotonic()], 1)

    def make_bucket(self) -> None:
        """Make the run's own bucket, or raise why it cannot be."""
        # also where the reply is lost: the name is nobody else's, so what is there is ours
        self.has_bucket = True
        try:
            self._client.put_vector_bucket()
        except errors.ServiceError as error:
            self.has_bucket = isinstance(error, errors.InternalServiceError)
            raise

    def put_bucket(self) -> Answer:
        """Return the answer to making the bucket again, beside it or after it was deleted."""
        had, self.has_bucket = self.has_bucket, True  # as above
        answer = self.send(Operation("PutVectorBucket", as_it_is, "PUT", idempotent=False))
        self.has_bucket = had or answer.ok or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return answer

    def post(self, name: str, members: Mapping[str, Any] | bytes, *, once: bool = False) -> Answer:
        """Return the answer to an operation on the main index, or the one that is named.

        Where the service may well fail, ask `once`: a failure is the answer, and not repeated.
        """
        if isinstance(members, bytes):
            body = members
        else:
            body = json.dumps({"indexName": MAIN, **members}).encode()
        query = name[0].lower() + name[1:]
        return self.send(Operation(name, as_it_is, query=query, body=body), once=once)

    def put(self, *vectors: Mapping[str, Any], index: str = MAIN, once: bool = False) -> Answer:
        """Return the answer to a write."""
        return self.post("PutVectors", {"indexName": index, "vectors": vectors}, once=once)

    def get(self, keys: Iterable[str], **members: Any) -> Answer:
        """Return the answer to GetVectors."""
        return self.post("GetVectors", {"keys": list(keys), **members})

    def query(self, vector: Iterable[float], top_k: int = 30, **members: Any) -> Answer:
        """Return the answer to QueryVectors."""
        asked = {"queryVector": {"float32": list(vector)}, "topK": top_k}
        return self.post("QueryVectors", asked | members)

    def send(self, operation: Operation[Reply], *, once: bool = False) -> Answer:
        """Return the answer to an operation.

        Raises:
            OSSVectorError: there is none, for want of a reply, a right or a rate.
        """
        began = self.monotonic()
        while True:
            try:
                policy = _ONCE if once else None
                return read(self._client.run(_ask, operation, policy, self._sent))
            except errors.QpsLimitExceededError:
                # the client waits until its deadline, and asks no second time where it asks once
                if self.monotonic() - began > self.patience:
                    raise
            self.sleep(1.0)

    def send_together(self, operation: Operation[Reply], count: int) -> list[Reply]:
        """Return the replies to as many requests at once, refused ones included."""
        return self._client.run(_ask_together, operation, count)

    def ask_elsewhere(self, operation: Operation[Reply]) -> Answer:
        """Return the answer to what is asked of a bucket that nobody has."""
        other = self._client.with_options(bucket=f"doctor-{secrets.token_hex(8)}")
        return read(other.run(_ask, operation, None, self._sent))

    def wait_until(
        self, look: Callable[[], T | None], most: float | None = None
    ) -> tuple[float, T]:
        """Return the seconds until something is seen, and what it is.

        Raises:
            NoAnswerError: it was not seen for as long as the run is patient.
        """
        most = self.patience if most is None else most
        began = self.monotonic()
        while True:
            asked = self.monotonic()
            moment, found = self.when(look)
            if found is not None:
                return round(moment - began, 1), found
            elapsed = asked - began
            if elapsed >= most:
                raise NoAnswerError(f"longer than {most:g} s")
            self.sleep(_pause_after(elapsed))

    def when(self, look: Callable[[], T]) -> tuple[float, T]:
        """Return the moment for which something was seen, and what it is."""
        asked = self.monotonic()
        found = look()
        # when it was asked for, as a reply grows old on its way; and for the last time, as what
        # comes too fast is refused or held back
        return max(asked, self._sent[-1]), found

    def hide_names(self, text: str) -> str:
        """Return a text in which neither the account nor its bucket, address and keys stand."""
        config = self._client.config
        text = reduce(_hide, (self.bucket, config.account_id, str(config.endpoint)), text)
        return self._client.run(_hide_credentials, text)

    def clean_up(self) -> None:
        """Delete what the run has made; done twice it does nothing more.

        Raises:
            OSSVectorError: something is left.
            NoAnswerError: the same, after trying again and again.
        """
        if not self.has_bucket:
            return
        for index in INDEXES:
            self._delete(self._client.delete_vector_index, index=index)
        self._delete(self._client.delete_vector_bucket)
        self.has_bucket = False

    def _delete(self, delete: Callable[..., object], **names: str) -> None:
        trouble = ""

        def look() -> bool | None:
            nonlocal trouble
            try:
                delete(**names)
            except _PASSING as error:
                trouble = describe_error(error)
                return None
            except errors.ServiceError as error:
                if error.status != HTTPStatus.NOT_FOUND:
                    raise
            return True

        try:
            self.wait_until(look, min(self.patience, _DELETING_SECONDS))
        except NoAnswerError:
            raise NoAnswerError(trouble) from None


def _ask(
    context: Context, operation: Operation[Reply], policy: RetryPolicy | None, sent: deque[float]
) -> Flow[Reply]:
    """Make one API call and return its last reply, whatever that is; note when it is sent.

    Raises:
        OSSVectorError: there is none, or it says that this caller may not ask, or not so fast.
    """

    def note(step: Step) -> Flow[Any]:
        if isinstance(step, Send):
            sent.append(context.monotonic())
        return (yield step)

    attempts = Attempts(context, operation, context.deadline(), policy)
    try:
        return (yield from do_steps(make_attempts(attempts), note))
    except (errors.AccessDeniedError, errors.QpsLimitExceededError):
        raise
    except errors.ServiceError:
        if attempts.reply is None:
            raise
        return attempts.reply


def _ask_together(context: Context, operation: Operation[Reply], count: int) -> Flow[list[Reply]]:
    return run_all([_send_now(context, operation) for _ in range(count)])


def _send_now(context: Context, operation: Operation[Reply]) -> Flow[Reply]:
    # past the client's own limits: how many the service refuses is the question
    credentials = yield from context.credentials.resolve()
    keys = context.credentials.signing_keys
    with fork.gate:
        request = signed_request(context.config, operation, credentials, context.clock.now(), keys)
    outcome = yield from send(request, context.config.timeout, context.config.max_reply_bytes)
    if isinstance(outcome, Fault):
        raise NoAnswerError(outcome.name)
    return outcome


def _hide_credentials(context: Context, text: str) -> Flow[str]:
    # none of them gets a name here: an error shows what its frames hold
    return reduce(_hide, (yield from context.credentials.resolve()).secrets(), text)


def _hide(text: str, name: str) -> str:
    # what is short stands in any text
    return text if len(name) < _SHORTEST_NAME else text.replace(name, "***")


def as_it_is(reply: Reply) -> Reply:
    """Return a reply, as what an operation decodes to."""
    return reply


def _pause_after(elapsed: float) -> float:
    # What lags a moment is measured closely; what lags long is not asked for too often. A little
    # more than a tenth: a delay of just so much is over by then, however its clock is rounded.
    if elapsed < 2:  # noqa: PLR2004 - seconds, as below
        return 0.101
    return 0.5 if elapsed < 30 else 1.0  # noqa: PLR2004
