"""Access keys and whose they are; the development key is published, and opens nothing else."""

from dataclasses import dataclass, field
from datetime import datetime

DEVELOPMENT_ACCESS_KEY_ID = "development-access-key-id"
DEVELOPMENT_ACCESS_KEY_SECRET = "development-access-key-secret"  # noqa: S105 - published on purpose
DEVELOPMENT_ACCOUNT_ID = "1000000000000001"
DEVELOPMENT_REGION = "cn-hangzhou"
DEVELOPMENT_BUCKET = "development-bucket"


@dataclass(frozen=True, slots=True)
class AccessKey:
    """One access key pair, and whose it is.

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
