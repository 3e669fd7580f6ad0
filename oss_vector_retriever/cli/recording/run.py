"""A run of `doctor --record`: consent, a bucket of its own, every question, and no trace left."""

import json
import signal
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ...client import errors
from ...client.clients import OSSVectorClient
from ...client.models.account_record import ANSWERS, AccountRecord
from ...version import __version__
from ..errors import PARTIAL, USAGE, Failure, word
from ..rendering import Document, echo
from ..transfer.files import Part
from .answers import NoAnswerError, describe_error
from .probe import INDEXES, Probe
from .questions import QUESTIONS, Question

_PLAN = """\
This asks the service of account {account} in {region} what its documentation leaves open.
It makes:   the vector bucket {bucket}, with {indexes} indexes and some {vectors} small vectors.
It costs:   {requests}, billed like any others; a minute or two.
It leaves:  nothing but the bucket's name, which nobody can take for hours: all is deleted at the
            end, also after Ctrl-C. No other bucket is read or changed.
It writes:  {path}, which names no account, bucket or key.
"""
# as counted on the emulator; what lags long is asked for most often
_COST = "100 to 300 requests and under 100 KB"
_COST_OF_LIMITS = "up to 4,000 requests, as fast as they go, and 240 MB sent"


class Findings(NamedTuple):
    """What a run found.

    Attributes:
        answers: by the names of the questions.
        unanswered: the reasons, by the same.
        failed: whether one of them is an error's.
    """

    answers: dict[str, Any]
    unanswered: dict[str, str]
    failed: bool


def describe_plan(probe: Probe, client: OSSVectorClient, path: Path, *, limits: bool) -> str:
    """Return what a run makes, costs and leaves."""
    return _PLAN.format(
        account=client.config.account_id,
        region=client.config.region,
        bucket=probe.bucket,
        indexes=len(INDEXES),
        vectors=220 if limits else 150,
        requests=_COST_OF_LIMITS if limits else _COST,
        path=path,
    )


def ask_for_consent() -> None:
    """Return if the user says yes.

    Raises:
        Failure: anything else was said, or nothing can be.
    """
    echo("Go on? [y/N] ", err=True, line_end=False)
    said = sys.stdin.readline()
    if said.strip().lower() not in ("y", "yes"):
        scripts = "" if said else "; in scripts --yes consents"
        raise Failure(f"nothing was asked, and nothing made{scripts}.", USAGE)


def record_account(
    client: OSSVectorClient, probe: Probe, path: Path, *, limits: bool
) -> tuple[Document, int]:
    """Ask everything, write the record, and return what to print and the exit status.

    Raises:
        OSSVectorError: the bucket could not be made.
    """
    part = Part(path)
    part.open(0)  # before anything is made that it could not keep
    # whoever ends the process is heard as Ctrl-C is, or the bucket would stay
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        findings, left = _ask_and_clean_up(probe, limits=limits)
        record = make_record(client.config.region, findings)
        part.file.write(probe.hide_names(text_of(record)).encode())
        part.settle()
        part.take_name()
    except BaseException:
        part.close()
        part.path.unlink(missing_ok=True)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
    return _document(record, left), PARTIAL if left or findings.failed else 0


def _ask_and_clean_up(probe: Probe, *, limits: bool) -> tuple[Findings, str]:
    try:
        probe.make_bucket()
        findings = ask_all(probe, limits=limits, tell=_tell)
    finally:
        left = _clean_up(probe)
    return findings, left


def ask_all(probe: Probe, *, limits: bool, tell: Callable[[Question], object]) -> Findings:
    """Ask every question, whatever becomes of the others; `tell` hears of each before."""
    found = Findings({}, {}, failed=False)
    for question in QUESTIONS:
        answers: Mapping[str, Any] = {}
        reason = "not seen"
        try:
            _check_needs(question, found.answers, limits=limits)
            tell(question)
            answer = question.ask(probe)
            answers = answer if isinstance(answer, Mapping) else {question.names[0]: answer}
        except NoAnswerError as error:
            reason, answers = str(error), error.answers
        except errors.OSSVectorError as error:
            reason, found = describe_error(error), found._replace(failed=True)
        except (KeyError, TypeError, ValueError, AttributeError):
            reason = "a reply of an unknown form"
        found.answers.update(answers)
        found.unanswered.update({n: reason for n in question.names if n not in answers})
    return found


def _check_needs(question: Question, known: Mapping[str, Any], *, limits: bool) -> None:
    if question.costly and not limits:
        raise NoAnswerError("asked with --limits alone")
    if question.needs and question.needs not in known:
        raise NoAnswerError(f"needs {question.needs}")


def make_record(region: str, found: Findings) -> AccountRecord:
    """Return the record of what was found."""
    return AccountRecord(
        region=region,
        recorded=datetime.now(UTC).isoformat(timespec="seconds"),
        package=__version__,
        behaviour={n: v for n, v in found.answers.items() if n in ANSWERS},
        observations={n: v for n, v in found.answers.items() if n not in ANSWERS},
        unanswered=found.unanswered,
    )


def text_of(record: AccountRecord) -> str:
    """Return what a record's file holds."""
    return json.dumps(record.to_dict(), indent=2) + "\n"


def _tell(question: Question) -> None:
    # some wait for a minute
    echo(f"asking: {', '.join(question.names)}", err=True)


def _text(answer: object) -> str:
    return answer if isinstance(answer, str) else json.dumps(answer)


def _clean_up(probe: Probe) -> str:
    """Delete what was made; return what is left, in words."""
    left = (
        f"bucket {probe.bucket}; delete-vector-index deletes its indexes "
        f"({', '.join(INDEXES)}), and then delete-vector-bucket the bucket"
    )
    try:
        if probe.has_bucket:
            echo("cleaning up", err=True)
        probe.clean_up()
    except (errors.OSSVectorError, NoAnswerError) as error:
        why = error.render(word) if isinstance(error, errors.OSSVectorError) else str(error)
        echo(f"left behind: {left} ({why})", err=True)
        return left
    except BaseException:  # a second Ctrl-C
        echo(f"left behind: {left}", err=True)
        raise
    return ""


def _document(record: AccountRecord, left: str) -> Document:
    said = {**record.behaviour, **record.observations, **record.unanswered}
    rows = [
        {
            "question": name,
            "answer": _text(answer),
            "kind": "unanswered"
            if name in record.unanswered
            else "behaviour"
            if name in record.behaviour
            else "observation",
        }
        for name, answer in said.items()
    ]
    return Document(record.to_dict(), rows, {"left behind": left} if left else {})
