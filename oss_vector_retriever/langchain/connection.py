"""Where the adapters' classes reach the service: a client that is given, or settings."""

from __future__ import annotations

import copy
from typing import Any, Self

from langchain_core.load.serializable import (
    Serializable,
    SerializedConstructor,
    SerializedNotImplemented,
)
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr

from oss_vector_retriever.client.errors import ConfigurationError
from oss_vector_retriever.client.pair import Client, ClientPair

PROVIDER = "alibabacloud_oss_vectors"
_PLACE = ("bucket", "account_id", "region", "endpoint", "internal")
_SECRETS = {
    "access_key_id": "OSS_ACCESS_KEY_ID",
    "access_key_secret": "OSS_ACCESS_KEY_SECRET",
    "session_token": "OSS_SESSION_TOKEN",
}

# Each class names it, for pydantic lets the last of several base classes win. A secret given under
# a wrong name must not come back in the error that says so.
STRICT = ConfigDict(arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True)


class Connected(BaseModel):
    """Have a client, or settings that make one when it is first used.

    What is not given comes from the environment, as with `OSSVectorClient`. Secrets appear in no
    text and in no serialised form; a client that is given is never serialised.

    Attributes:
        client: an `OSSVectorClient` or `AsyncOSSVectorClient`, in place of the settings below.
        bucket: the vector bucket.
        account_id: the Alibaba Cloud account that owns it.
        region: such as `cn-hangzhou`.
        endpoint: another address than the region's own.
        internal: use the region's internal network.
        access_key_id: with `access_key_secret`, credentials in place of the environment's.
        access_key_secret: the secret that belongs to it.
        session_token: the token of temporary credentials.
        index: another index than the client's own.
    """

    model_config = STRICT

    client: Client | None = Field(default=None, exclude=True, repr=False)
    bucket: str | None = None
    account_id: str | None = None
    region: str | None = None
    endpoint: str | None = None
    internal: bool = False
    access_key_id: SecretStr | None = Field(default=None, repr=False)
    access_key_secret: SecretStr | None = Field(default=None, repr=False)
    session_token: SecretStr | None = Field(default=None, repr=False)
    index: str | None = None

    _clients: ClientPair = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Prepare the client for both kinds of call."""
        super().model_post_init(context)
        self._clients = self._made()

    def _made(self) -> ClientPair:
        settings = self._settings()
        if self.client is not None and settings:
            raise ConfigurationError(f"pass either client= or {', '.join(settings)}, not both.")
        return ClientPair(self.client, settings)

    def _both(self) -> ClientPair:
        clients = self._clients
        changed = clients.connection != self._settings()
        if clients.given is not self.client or changed:  # assigned, or copied in
            self._clients = self._made()
        return self._clients

    def _settings(self) -> dict[str, Any]:
        settings = {name: value for name in _PLACE if (value := getattr(self, name))}
        if self.access_key_id is not None or self.access_key_secret is not None:
            settings["credentials"] = tuple(
                secret.get_secret_value()
                for name in _SECRETS
                if (secret := getattr(self, name)) is not None
            )
        return settings

    def _index_name(self) -> str | None:
        return self.index or self._both().config.index

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Return the fields that serialised forms name, and never hold."""
        return dict(_SECRETS)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        memo = {} if memo is None else memo
        memo |= {id(shared): shared for shared in (self.client, self._clients)}
        return super().__deepcopy__(memo)

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self.access_key_secret is not None:
            raise TypeError(
                f"{type(self).__name__} is not pickled: it holds credentials; let the environment "
                "give them, or make one in the other process"
            )
        return super().__reduce_ex__(protocol)


class Serialised(Connected, Serializable):
    """Be serialised as LangChain's own classes are: by the settings."""

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Return True: settings are serialised, secrets by name alone."""
        return True

    def to_json(self) -> SerializedConstructor | SerializedNotImplemented:
        """Return the serialised form; there is none where a client was given."""
        return super().to_json() if self.client is None else self.to_json_not_implemented()


class SharesClient:
    """Be copied as what it is, also deep: with the same client, and what is known of the index."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return copy.copy(self)
