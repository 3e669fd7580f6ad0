"""`AccountRecord`: what one account's service was found to do, and the file that keeps it.

`oss-vectors doctor --record` writes the file; a client reads it (`record=`), and the emulator
(`Behaviour.from_record`). It names no account, no bucket and no key.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

from ..errors import ConfigurationError
from .limits import Limits

_FORMAT: Final = "oss-vectors record"
_VERSION: Final = 1
_LARGEST: Final = 1024 * 1024  # bytes; a record has some thousands
_EITHER: Final = (False, True)
# What each answer may be: one of some values, or `float` for a number from 0. The names are those
# of `emulator.Behaviour`, which says what they mean.
ANSWERS: Final[Mapping[str, Any]] = {
    "order": ("request", "storage", "shuffled"),
    "duplicates": ("once", "each"),
    "float_text": ("shortest", "double"),
    "list_filter": ("honoured", "ignored", "refused"),
    "top_k_limit": (30, 100, 500),
    "metadata_names": ("filterable", "all"),
    "scalars": ("kept", "refused", "strings"),
    "omit_empty_vectors": _EITHER,
    "show_empty_metadata": _EITHER,
    "count_distinct_keys": _EITHER,
    "unstorable_fails": _EITHER,
    "squared_euclidean": _EITHER,
    "filter_after_ranking": _EITHER,
    "ignore_non_filterable": _EITHER,
    "filter_shorthand": _EITHER,
    "filter_forms": ("all", "no_ranges", "no_exists", "no_or", "flat"),
    "negation_needs_field": _EITHER,
    "creating_refuses_writes": _EITHER,
    "index_creation_seconds": float,
    "enable_failure_seconds": float,
    "query_delay_seconds": float,
    "get_delay_seconds": float,
    "bucket_list_delay_seconds": float,
    "bucket_name_kept_seconds": float,
    "requests_per_second": float,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRecord:
    """What the service was found to do for one account, where its documentation leaves it open.

    Attributes:
        region: where it was asked.
        recorded: when, in ISO 8601.
        package: the version of this package that asked.
        behaviour: the answers, by the names of `emulator.Behaviour`'s fields; what nobody could
            answer is not in it.
        observations: what else was seen, which no switch stands for.
        unanswered: the questions without an answer, and why.
    """

    region: str
    recorded: str
    package: str
    behaviour: Mapping[str, Any] = field(default_factory=dict, hash=False)
    observations: Mapping[str, Any] = field(default_factory=dict, hash=False)
    unanswered: Mapping[str, str] = field(default_factory=dict, hash=False)

    @classmethod
    def read(cls, path: "str | os.PathLike[str]") -> Self:
        """Return the record in a file.

        Raises:
            ConfigurationError: it cannot be read, or is no record that this version understands.
        """
        try:
            with Path(path).open("rb") as file:
                text = file.read(_LARGEST + 1)
            members = json.loads(text) if len(text) <= _LARGEST else None
        except OSError as error:
            reason = error.strerror
            raise _refusal(
                "{path} cannot be read: {reason}.", path=os.fspath(path), reason=reason
            ) from None
        except (ValueError, RecursionError):
            members = None
        if not isinstance(members, dict) or members.get("format") != _FORMAT:
            raise _refusal(
                "{path} is no record of an account; `oss-vectors doctor --record` writes one.",
                path=os.fspath(path),
            )
        return cls.from_dict(members)

    @classmethod
    def from_dict(cls, members: Mapping[str, Any]) -> Self:
        """Return the record that `to_dict` has written.

        Raises:
            ConfigurationError: it is none, or of another version.
        """
        if not isinstance(members, Mapping) or members.get("format") != _FORMAT:
            raise _refusal("{argument} takes what AccountRecord.to_dict() returned.")
        if members.get("version") != _VERSION:
            raise _refusal(
                "the record is of version {version}, and this package reads version {own}: record "
                "the account again with this package, or read it with the one that wrote it.",
                version=repr(members.get("version"))[:20],
                own=_VERSION,
            )
        given = {n: v for n, v in members.items() if n not in ("format", "version")}
        _check_members(given)
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values, the file's contents."""
        return {"format": _FORMAT, "version": _VERSION, **asdict(self)}

    def narrow(self, limits: Limits) -> Limits:
        """Return limits that this account's service keeps as well."""
        known: dict[str, int] = {}
        if (most := self.behaviour.get("top_k_limit", limits.top_k)) < limits.top_k:
            known["top_k"] = most
        if self.behaviour.get("metadata_names") == "filterable":
            # it counts those alone that can be filtered by, so that there may be as many others
            keys = limits.filterable_keys + limits.non_filterable_keys
            known |= {"metadata_keys": keys} if keys > limits.metadata_keys else {}
        # the same object where nothing changes: a user's own class stays what it is
        return replace(limits, **known) if known else limits


def read_record(value: object) -> AccountRecord | None:
    """Return what `record=` names: a record, or the file that holds it.

    Raises:
        ConfigurationError: it is neither.
    """
    if value is None or isinstance(value, AccountRecord):
        return value
    if isinstance(value, str | os.PathLike):
        return AccountRecord.read(value)
    message = "{argument}= takes an AccountRecord, or the file that holds one, not {a_kind}."
    raise ConfigurationError(message, argument="record", value=value)


_TEXTS = ("region", "recorded", "package")
_MAPPINGS = ("behaviour", "observations", "unanswered")


def _check_members(given: Mapping[str, Any]) -> None:
    texts = all(isinstance(given.get(name), str) for name in _TEXTS)
    mappings = all(isinstance(given.get(name), Mapping) for name in _MAPPINGS)
    if not (texts and mappings) or len(given) != len(_TEXTS) + len(_MAPPINGS):
        names = ", ".join((*_TEXTS, *_MAPPINGS))
        raise _refusal("a record holds {names}, each in its form, and nothing else.", names=names)
    try:
        datetime.fromisoformat(given["recorded"])
    except ValueError:
        raise _refusal("the record does not say when it was made.") from None
    for name, answer in given["behaviour"].items():
        if name not in ANSWERS:
            raise _refusal("the record answers {name}, which is no question.", name=repr(name))
        if not _is_possible(answer, ANSWERS[name]):
            fields = {"name": name, "answer": repr(answer)[:80]}
            raise _refusal("the record's {name} cannot be {answer}.", **fields)


def _is_possible(answer: object, possible: Any) -> bool:
    if possible is float:
        number = isinstance(answer, int | float) and not isinstance(answer, bool)
        # JSON's reader takes NaN and Infinity, which compare with nothing
        return number and 0 <= answer < float("inf")  # type: ignore[operator]
    # by type as well: True equals 1
    return any(answer == each and type(answer) is type(each) for each in possible)


def _refusal(message: str, **fields: object) -> ConfigurationError:
    return ConfigurationError(message, argument="record", fields=fields)
