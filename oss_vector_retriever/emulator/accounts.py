"""Accounts of the emulator: which access key belongs to whom. A development key is published."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

DEVELOPMENT_ACCESS_KEY_ID = "development-access-key-id"
DEVELOPMENT_ACCESS_KEY_SECRET = "development-access-key-secret"  # noqa: S105 - published on purpose
DEVELOPMENT_ACCOUNT_ID = "1000000000000001"
DEVELOPMENT_REGION = "cn-hangzhou"
DEVELOPMENT_BUCKET = "development-bucket"


@dataclass(frozen=True, slots=True)
class AccessKey:
    """Hold one access key pair and say whose it is.

    Attributes:
        id: the access key id.
        secret: the access key secret.
        account_id: the account that the key belongs to, digits only.
        user: the RAM user behind the key. None is the account itself, which may do everything
            in its own buckets; a user may do only what a bucket policy allows.
        security_token: the token that requests must carry, for temporary credentials.
        expires: when temporary credentials end.
        enabled: a disabled key is answered with UserDisable.
    """

    id: str
    secret: str = field(repr=False)
    account_id: str
    user: str | None = None
    security_token: str | None = field(default=None, repr=False)
    expires: datetime | None = None
    enabled: bool = True

    def __post_init__(self) -> None:
        if not (self.account_id.isascii() and self.account_id.isdigit()):
            raise ValueError("account_id must be digits")
        if not self.id or not self.secret:
            raise ValueError("an access key needs an id and a secret")

    @property
    def principal(self) -> str:
        """Return the ARN of whoever uses the key."""
        name = f"user/{self.user}" if self.user else "root"
        return f"acs:ram::{self.account_id}:{name}"


DEVELOPMENT_KEY = AccessKey(
    DEVELOPMENT_ACCESS_KEY_ID, DEVELOPMENT_ACCESS_KEY_SECRET, DEVELOPMENT_ACCOUNT_ID
)


class KeyRing:
    """Hold the access keys that a service knows, by id."""

    def __init__(self, keys: Iterable[AccessKey]) -> None:
        self._keys = {key.id: key for key in keys}

    def get(self, access_key_id: str) -> AccessKey | None:
        """Return the key of that id, or None."""
        return self._keys.get(access_key_id)

    def __repr__(self) -> str:
        return f"KeyRing({len(self._keys)} keys)"
