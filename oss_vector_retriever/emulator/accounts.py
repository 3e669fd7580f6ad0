"""Access keys and whose they are; the development key is published, and opens nothing else."""

from collections.abc import Callable
from datetime import datetime
from typing import NoReturn

DEVELOPMENT_ACCESS_KEY_ID = "development-access-key-id"
DEVELOPMENT_ACCESS_KEY_SECRET = "development-access-key-secret"  # noqa: S105 - published on purpose
DEVELOPMENT_ACCOUNT_ID = "1000000000000001"
DEVELOPMENT_REGION = "cn-hangzhou"
DEVELOPMENT_BUCKET = "development-bucket"


class AccessKey:
    """One access key pair, and whose it is; secret and token are not shown, nor serialised.

    Args:
        id: the access key id.
        secret: the access key secret.
        account_id: the account that the key belongs to, digits only.
        user: the RAM user behind the key. None is the account itself, which may do everything
            in its own buckets; a user may do only what a bucket policy allows.
        security_token: the token that requests must carry, for temporary credentials.
        expires: when temporary credentials end (timezone-aware).
        enabled: a disabled key is answered with UserDisable.

    Examples:
        >>> service = Service.in_memory(access_keys=[AccessKey("id", "secret", "123456")])
        >>> list(service.access_keys)
        ['id']
    """

    # secret and token stand in a function, which no serialiser opens
    __slots__ = ("_read", "account_id", "enabled", "expires", "id", "user")

    def __init__(  # noqa: PLR0917 - in the order of the fields that it had as a dataclass
        self,
        id: str,  # noqa: A002 - as the official keys have it
        secret: str,
        account_id: str,
        user: str | None = None,
        security_token: str | None = None,
        expires: datetime | None = None,
        enabled: bool = True,
    ) -> None:
        why = None if id and secret else "an access key needs an id and a secret"
        if not (account_id.isascii() and account_id.isdigit()):
            why = "account_id must be digits"
        if why is not None:
            del secret, security_token  # an error shows this frame with what has a name in it
            raise ValueError(why)
        self.id: str
        self.account_id: str
        self.user: str | None
        self.expires: datetime | None
        self.enabled: bool
        self._read: Callable[[], tuple[str, str | None]]
        values: dict[str, object] = {"id": id, "account_id": account_id, "user": user}
        values |= {"expires": expires, "_read": lambda: (secret, security_token)}
        for name, value in (*values.items(), ("enabled", enabled)):
            object.__setattr__(self, name, value)

    @property
    def secret(self) -> str:
        """Return the access key secret."""
        return self._read()[0]

    @property
    def security_token(self) -> str | None:
        """Return the token of temporary credentials, or None."""
        return self._read()[1]

    @property
    def is_published(self) -> bool:
        """Tell whether anybody can sign with the key: its secret is that of the development key."""
        return self.secret == DEVELOPMENT_ACCESS_KEY_SECRET

    @property
    def principal(self) -> str:
        """Return the ARN of whoever uses the key."""
        name = f"user/{self.user}" if self.user else "root"
        return f"acs:ram::{self.account_id}:{name}"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"an access key is not changed; make another to set {name}")

    def _key(self) -> tuple[object, ...]:
        return self.id, *self._read(), self.principal, self.expires, self.enabled

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AccessKey) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        if not hasattr(self, "enabled"):  # shown in the traceback of its own making
            return object.__repr__(self)
        expires = f", expires={self.expires}" if self.expires else ""
        return f"AccessKey({self.id!r}, {self.principal}, enabled={self.enabled}{expires})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("access keys are not pickled; make them where they are used")


DEVELOPMENT_KEY = AccessKey(
    DEVELOPMENT_ACCESS_KEY_ID, DEVELOPMENT_ACCESS_KEY_SECRET, DEVELOPMENT_ACCOUNT_ID
)
