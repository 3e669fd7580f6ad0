"""Bucket policies: checked when they are put, and obeyed.

Sources: reference section 10. An account may do everything in its own buckets unless a policy
denies it; anyone else only what a policy allows. A Deny beats every Allow. The owner can always
put, get and delete the policy itself, so that nobody is locked out for good.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from ..accounts import AccessKey
from .refusals import Refusal

# The pages write oss:, older SDKs ossvector:, and the service takes both (section 10).
_PREFIXES = ("oss:", "ossvector:")
_MEMBERS = frozenset({"Effect", "Action", "Principal", "Resource", "Sid"})
_OWNERS_RIGHT = frozenset({"PutBucketPolicy", "GetBucketPolicy", "DeleteBucketPolicy"})


def authorise(
    key: AccessKey | None, action: str, resource: str, owner: str | None, policy: str | None
) -> None:
    """Refuse what the identity may not do.

    `key` is None of an anonymous caller, whom a policy admits by the principal `*` alone (section
    16). `action` is an operation's name, `resource` the ARN it is about, `owner` the account that
    the bucket belongs to (None where there is no bucket), `policy` the JSON text of the bucket's.

    Raises:
        Refusal: AccessDenied.
    """
    is_owner = key is not None and key.user is None and key.account_id == (owner or key.account_id)
    if is_owner and action in _OWNERS_RIGHT:
        return
    matching = [s for s in _statements(policy) if s.covers(key, action, resource, owner)]
    denied = any(statement.denies for statement in matching)
    if denied or not (is_owner or matching):
        who = key.principal if key else "An anonymous caller"
        raise Refusal("AccessDenied", f"{who} may not do oss:{action} on {resource}.")


def parse(document: dict[str, Any]) -> "tuple[Statement, ...]":
    """Return the statements of a policy.

    Raises:
        Refusal: InvalidPolicyDocument; NotImplemented for a Condition or a negated element, which
            would otherwise be obeyed wrongly.
    """
    if document.get("Version") != "1":
        raise Refusal("InvalidPolicyDocument", 'Version must be "1".')
    statements = document.get("Statement")
    if not isinstance(statements, list) or not statements:
        raise Refusal("InvalidPolicyDocument", "Statement must be a list that is not empty.")
    return tuple(_statement(statement) for statement in statements)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a policy; patterns may use `*` and `?`."""

    denies: bool
    actions: tuple[str, ...]
    principals: tuple[str, ...]
    resources: tuple[str, ...]

    def covers(self, key: AccessKey | None, action: str, resource: str, owner: str | None) -> bool:
        """Tell whether the statement speaks about this identity, action and resource."""
        names = [prefix + action for prefix in _PREFIXES]
        # Official pages write a bucket in both ways (section 16).
        account, colon, name = resource.rpartition(":")
        resources = [resource, *([f"{account}:bucket/{name}"] if colon else ())]
        return (
            _any_match(self.actions, names, ignore_case=True)
            and self._names(key, owner)
            and _any_match(self.resources, resources)
        )

    def _names(self, key: AccessKey | None, owner: str | None) -> bool:
        if key is None:
            return "*" in self.principals
        # A policy may name somebody by the ARN or by a plain id.
        who = [key.principal]
        if key.user is None:
            who.append(key.account_id)
        elif key.account_id == owner:
            # Only its account makes a user's name unique: others have a user of that name too.
            who.append(key.user)
        return _any_match(self.principals, who)


# By the text: a policy is read at every request, and changes hardly ever.
@lru_cache(maxsize=256)
def _statements(policy: str | None) -> tuple[Statement, ...]:
    return parse(orjson.loads(policy)) if policy else ()


def _statement(members: object) -> Statement:
    if not isinstance(members, dict):
        raise Refusal("InvalidPolicyDocument", "A Statement must be an object.")
    unknown = sorted(n for n, value in members.items() if value is not None and n not in _MEMBERS)
    if unknown:
        raise Refusal("NotImplemented", f"This service does not evaluate {unknown[0]}.")
    effect = members.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise Refusal("InvalidPolicyDocument", "Effect must be Allow or Deny.")
    return Statement(
        denies=effect == "Deny",
        actions=_patterns(members, "Action"),
        principals=_patterns(members, "Principal"),
        resources=_patterns(members, "Resource"),
    )


def _patterns(members: dict[str, Any], name: str) -> tuple[str, ...]:
    value = members.get(name)
    given = value if isinstance(value, list) else [value]
    patterns = tuple(item for item in given if isinstance(item, str) and item)
    if not patterns or len(patterns) < len(given):
        raise Refusal("InvalidPolicyDocument", f"{name} must be a string or a list of strings.")
    return patterns


def _any_match(patterns: tuple[str, ...], names: list[str], *, ignore_case: bool = False) -> bool:
    return any(_is_match(p, name, ignore_case=ignore_case) for p in patterns for name in names)


def _is_match(pattern: str, name: str, *, ignore_case: bool) -> bool:
    # Before anything is compiled: a pattern may be as long as a body, a name may not.
    if len(pattern) - pattern.count("*") > len(name):
        return False
    return _glob(pattern, ignore_case).fullmatch(name) is not None


@lru_cache(maxsize=1024)
def _glob(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    """Return a pattern as a regular expression that never goes back over what it has passed.

    What stands between two stars is taken where it is found first, which is always right. As plain
    `.*` each star would be tried at every place for every place of the others, in time that is
    exponential in the stars and with every thread of the process waiting.
    """
    first, *others = ("".join(map(_expression_of, part)) for part in re.split(r"\*+", pattern))
    text = first
    if others:
        text += "".join(f"(?>.*?{part})" for part in others[:-1]) + f".*{others[-1]}"
    return re.compile(text, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _expression_of(character: str) -> str:
    return "." if character == "?" else re.escape(character)
