"""Presigned URLs, which the service takes and the client never makes."""

from urllib.parse import quote

from oss_vector_retriever.client import signing


def presigned_query(
    signable: signing.Signable,
    access_key_id: str,
    secret: str,
    stamp: str,
    scope: signing.Scope,
    *,
    expires: int,
    security_token: str | None = None,
) -> str:
    """Return the query of a presigned URL that holds for `expires` seconds."""
    names = signing.additional_header_names(signable.headers, signable.additional)
    parameters = {
        "x-oss-signature-version": signing.ALGORITHM,
        "x-oss-date": stamp,
        "x-oss-expires": str(expires),
        "x-oss-credential": f"{access_key_id}/{scope}",
        "x-oss-security-token": security_token or "",
        "x-oss-additional-headers": ";".join(names),
    }
    added = "&".join(f"{k}={quote(v, safe='')}" for k, v in parameters.items() if v)
    query = "&".join(filter(None, (signable.query, added)))
    whole = signing.Signable(
        signable.method, signable.resource, query, signable.headers, signable.additional
    )
    return f"{query}&x-oss-signature={whole.signature(secret, stamp, scope)}"
