"""An OSS Vectors service in one process: the documented rules, and no account needed.

`Service` turns a request into a reply; `InProcessTransport` and `Server` carry requests to it, and
`faults` breaks them for tests. It is strict: signatures, clocks, limits and error codes are those
of the service (sections are those of the project's API reference). Nothing was measured against
the live service. Where its documentation is silent, or divided, this is what the emulator does by
default; a switch is a field of `Behaviour`, and `Behaviour.documented()` has the documented lags
and caps.

Known differences and choices:

| topic | here | section | switch |
|---|---|---|---|
| order of GetVectors results | that of the request | 4.1 | order, seed |
| a key asked for twice | comes back once | 4.1 | duplicates |
| no key exists | `vectors` is `[]` | 4.1 | omit_empty_vectors |
| over 100 keys, fewer without duplicates | refused | 4.1 | count_distinct_keys |
| unit of key length | characters (code points) | 4.1 | - |
| vector without metadata, or with `{}` | no `metadata` in replies | 4.1 | show_empty_metadata |
| float text | shortest that reads back as the same float32 | 4.1 | float_text |
| batch with one bad vector | nothing of it is written | 4.2 | - |
| writes and deletions | seen by QueryVectors at once | 4.2 | query_delay_seconds |
| writes and deletions | seen by GetVectors and ListVectors at once | 4.1 | get_delay_seconds |
| NaN, infinity, zero under cosine | 400, where one user saw 500 | 4.2 | unstorable_fails |
| order of ListVectors | that of first writing | 4.3 | - |
| a token that no page gave | refused | 4.3 | - |
| segments of ListVectors | dealt out by a hash of the key | 4.3 | - |
| page of ListVectors in bytes | not limited | 4.3 | - |
| `filter` of ListVectors | honoured | 4.3 | list_filter |
| QueryVectors | exact; a filter chooses among the `topK` nearest | 4.4 | filter_after_ranking |
| `topK` | at most 500 | 4.4 | top_k_limit |
| cosine distance | 1 - cosine similarity | 4.4 | - |
| euclidean distance | plain, not squared; unverified | 4.4 | squared_euclidean |
| numbers and booleans in metadata | kept as they are, refused in arrays | 5.1 | scalars |
| an object or null in metadata | refused | 5.1 | - |
| size of metadata | bytes of compact JSON in UTF-8 | 5.1 | - |
| filterable metadata | at most 10 names and 2 KB together | 5.1 | metadata_names |
| names of filterable metadata | any | 5.1 | - |
| `{"field": "value"}` in a filter | means `$eq` | 5.2 | filter_shorthand |
| filter on a non-filterable key | refused | 5.2 | ignore_non_filterable |
| forms of filters | all that the pages name | 5.2 | filter_forms |
| `$ne`, `$nin` on a missing field | true | 5.2 | negation_needs_field |
| `$in` on an array | true if any element is listed | 5.2 | - |
| several fields or operators in one object | all must hold | 5.2 | - |
| items of a filter | operators, and elements of `$in` and `$nin` | 5.2 | - |
| depth of a filter | of its objects of conditions, the outermost the first | 5.2 | - |
| messages, and ECs not on record | our own words, no EC | 6 | - |
| order of refusals | see `service` | 6 | - |
| new index | `enable` at once | 7.1 | index_creation_seconds |
| PutVectors into a `creating` index | done; one user saw 500 | 7.1 | creating_refuses_writes |
| PutVectors right after `enable` | done; one user saw 500 | 7.1 | enable_failure_seconds |
| PutVectorIndex without dimension or distanceMetric | refused; pages name defaults too | 7.1 | - |
| names of indexes | tell capitals from small letters | 7.1 | - |
| a non-filterable key named twice | refused | 7.1 | - |
| PutVectorBucket of one's own bucket | 409 BucketAlreadyExists | 8 | - |
| bucket listings | up to date | 8 | bucket_list_delay_seconds |
| name of a deleted bucket | free at once | 8 | bucket_name_kept_seconds |
| max-keys out of its range | 400 InvalidArgument | 8 | - |
| a listing of buckets that names no resource group | shows those of every group | 8 | - |
| Fusion mode | 501 NotImplemented | 9 | - |
| a Condition or negated element in a policy | 501 NotImplemented | 10 | - |
| a policy of another form | 400 InvalidPolicyDocument | 10 | - |
| a bucket without a policy | 404 NoSuchBucketPolicy | 10 | - |
| RAM users | may do only what a bucket policy allows | 10 | - |
| anonymous callers | may do what a policy allows `*`, on a bucket that the host names | 10 | - |
| a bare user name in a policy | that of a user of the owner's account | 10 | - |
| a Deny in a policy | holds for the owner too, except on the policy itself | 10 | - |
| error code of a fault in signing that has an EC | InvalidArgument | 11 | - |
| no x-oss-content-sha256 | refused as a wrong one is | 11 | - |
| an Authorization of another kind | 400 InvalidArgument | 11 | - |
| a request without a date | 403 AccessDenied | 11 | - |
| a signature of another day, region or product | 403 SignatureDoesNotMatch | 11 | - |
| a security token that is wrong, or past its time | 403, by a code of its own each | 11 | - |
| how long a presigned URL may hold | 1 second to 7 days; else 400 InvalidArgument | 11 | - |
| a presigned URL past its time | 403 AccessDenied | 11 | - |
| access logging | settings are kept, no log is written | 1 | - |
| logging settings without BucketLoggingStatus | 400 InvalidArgument | 1 | - |
| a request that no operation answers | 405 MethodNotAllowed | 1 | - |
| a request that names two operations | 400 InvalidArgument | 1 | - |
| Content-MD5 of another body | 400 InvalidDigest | 3 | - |
| no body | `{}` for ListVectorIndexes, else 400 MalformedJson | 3 | - |
| tags of a bucket | taken, and shown by no operation | 3 | - |
| x-oss-server-time | how long the emulator took | 3 | - |
| unknown JSON members | ignored; wrong types refused | 15 | - |
| a JSON member that is null | as if it were absent | 15 | - |
| a JSON number beyond the range of doubles | 400 MalformedJson | 15 | - |
| a JSON member twice | 400 MalformedJson | 15 | - |
| request body | at most 64 MiB, `max_body_bytes`; 400 EntityTooLarge | 15 | - |
| a request's head, and its body | within 10 s, and 30 s; 400 RequestTimeout | 15 | - |
| what is no HTTP | 400 InvalidArgument; without one Host 403 AccessDenied | 15 | - |
| an unsigned body of over 64 KiB | dropped, up to 72 MiB of it | 15 | - |
| what a page in a browser sends, or for an unknown host | 403 AccessDenied | 15 | - |
| rate limits | none; `faults.Throttle` refuses on demand | 15 | requests_per_second |
"""

# Lists of names, several on a line: the formatter would make a page of each.
# isort: off
# fmt: off
from typing import TYPE_CHECKING

from ..client.models.messages import Reply, Request
from ..lazy import make_lazy
from .accounts import (
    DEVELOPMENT_ACCESS_KEY_ID, DEVELOPMENT_ACCESS_KEY_SECRET, DEVELOPMENT_ACCOUNT_ID,
    DEVELOPMENT_BUCKET, DEVELOPMENT_KEY, DEVELOPMENT_REGION, AccessKey,
)
from .behaviour import Behaviour
from .clock import ManualClock
from .service import Service, ServiceOptions
from .transport import InProcessTransport

if TYPE_CHECKING:
    from .http.server import Server
# isort: on
# fmt: on

__all__ = ["DEVELOPMENT_ACCESS_KEY_ID", "DEVELOPMENT_ACCESS_KEY_SECRET", "DEVELOPMENT_ACCOUNT_ID"]
__all__ += ["DEVELOPMENT_BUCKET", "DEVELOPMENT_KEY", "DEVELOPMENT_REGION", "AccessKey", "Behaviour"]
__all__ += ["InProcessTransport", "ManualClock", "Reply", "Request", "Server", "Service"]
__all__ += ["ServiceOptions"]

# The server alone needs uvicorn, which only the extra brings.
__getattr__, _ = make_lazy(__name__, {"Server": f"{__name__}.http.server"}, extra="emulator")


def __dir__() -> list[str]:
    return sorted(__all__)
