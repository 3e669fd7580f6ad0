"""`fetch` and `upsert`: transforms of a Ray Dataset, lazy as all of its transforms are."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from ..client.clients import OSSVectorClient
from ..client.config import ClientConfig
from ..client.errors import ConfigurationError, InvalidRequestError
from ..client.operations.checks import check_choice, check_whole
from ..client.retry import is_finite_number
from ..client.settings import ClientSettings, config_from
from ..client.writes import OnError
from .workers import WorkerSpec, begin_budget, budget_name, fetch_batch, load_ray, upsert_batch

if TYPE_CHECKING:
    from ray.data import Dataset

# What `credentials=` takes here: what can travel and holds no secret.
TravellingCredentials = Callable[[], object] | Literal["chain"]
_MOST_ROWS = 1_000_000
_TURNS = 4  # of all connections, that a call has time for


def fetch(
    dataset: Dataset,
    settings: ClientSettings,
    *,
    key_field: str = "key",
    index: str | None = None,
    return_data: bool = True,
    return_metadata: bool = True,
    rate_limit: float | None = None,
    keys_per_second: float | None = None,
    credentials: TravellingCredentials | None = None,
    concurrency: int | None = None,
    num_cpus: float = 1.0,
    batch_size: int = 10_000,
) -> Dataset:
    """Return a dataset with what is stored under the keys of another, a row for each of its rows.

    The columns of the dataset stay, and after them come `found` (whether the key exists), `data`
    (a list of float32 of fixed size) and `metadata` (JSON text), as far as they are asked for. A
    key that does not exist has nulls.

    Ray runs it in tasks, and runs those again that a dead worker had. Each worker process makes one
    client of `settings`, as `client.settings` gives them.

    Args:
        dataset: a dataset with a column of keys.
        settings: where the clients point and how. Their `limits` and `max_concurrency` (requests in
            flight of each worker) hold too.
        key_field: the column of keys, which is text.
        index: the index, by default that of the settings.
        return_data: fetch the floats.
        return_metadata: fetch the metadata.
        rate_limit: requests a second, at most, of all workers together, and of all other datasets
            and jobs of this cluster that reach the same service with the same account. By default
            that of the settings.
        keys_per_second: the same in keys; of both the smaller holds. A request is counted as full.
        credentials: a function that returns them, or `"chain"`; by default as the settings say.
            Those of the environment are read in each worker's own.
        concurrency: how many workers, at most; by default as many as there are CPUs for.
        num_cpus: CPUs that each of them takes, for Ray's scheduling.
        batch_size: keys of one task, at least; a block of fewer is one batch.

    Raises:
        ConfigurationError: the settings are of an embedded service, or credentials are given that
            must not travel, or something is missing.
        InvalidRequestError: an option is impossible. In the workers: a key is no legal key.
    """
    spec = make_spec(
        settings,
        index,
        credentials,
        rate_limit=rate_limit,
        keys_per_second=keys_per_second,
        keys_per_call="keys_per_get",
    )
    options = {"spec": spec, "key_field": key_field}
    options |= {"return_data": bool(return_data), "return_metadata": bool(return_metadata)}
    check_whole("batch_size", batch_size, 1, _MOST_ROWS)
    return map_rows(
        dataset,
        fetch_batch,
        options,
        concurrency=concurrency,
        num_cpus=num_cpus,
        batch_size=batch_size,
    )


def upsert(
    dataset: Dataset,
    settings: ClientSettings,
    *,
    key_field: str = "key",
    data_field: str = "data",
    metadata_field: str = "metadata",
    index: str | None = None,
    on_error: OnError = "report",
    rate_limit: float | None = None,
    keys_per_second: float | None = None,
    credentials: TravellingCredentials | None = None,
    concurrency: int | None = None,
    num_cpus: float = 1.0,
    batch_size: int = 5_000,
) -> Dataset:
    """Return a dataset that writes the rows of another into an index when it is run.

    It has a row for each of that one's, with `key` and `error`: null where the service has
    acknowledged the vector, else why it was refused. Nothing is left out without a word. A row that
    is refused keeps no other from being written; what befalls the service, such as a denial or an
    outage that outlasts the client's retries, ends the run.

    What a dead worker had is written again, which changes nothing. Of rows with one key the last of
    a batch counts; which of two batches is written later is not known.

    The arguments are those of `fetch`, and:

    Args:
        dataset: a dataset with columns of keys, data and, if there are any, metadata.
        data_field: the column of data: lists of floats, or a tensor column of Ray's.
        metadata_field: the column of metadata: JSON text, a struct or a map.
        on_error: `"report"`, or `"raise"`: a row that is refused ends the run.
        keys_per_second: vectors a second; a request is counted as full.
        batch_size: rows of one task, at least.
        settings: as of `fetch`.
        key_field: as of `fetch`.
        index: as of `fetch`.
        rate_limit: as of `fetch`.
        credentials: as of `fetch`.
        concurrency: as of `fetch`.
        num_cpus: as of `fetch`.

    Raises:
        ConfigurationError: as of `fetch`.
        InvalidRequestError: an option is impossible. In the workers, with `"raise"`: a row is
            refused.
    """
    spec = make_spec(
        settings,
        index,
        credentials,
        rate_limit=rate_limit,
        keys_per_second=keys_per_second,
        keys_per_call="vectors_per_put",
    )
    options = {"spec": spec, "key_field": key_field, "data_field": data_field}
    options |= {
        "metadata_field": metadata_field,
        "on_error": check_choice("on_error", on_error, ("raise", "report")),
    }
    check_whole("batch_size", batch_size, 1, _MOST_ROWS)
    return map_rows(
        dataset,
        upsert_batch,
        options,
        concurrency=concurrency,
        num_cpus=num_cpus,
        batch_size=batch_size,
    )


def map_rows(
    dataset: Any,
    function: Callable[..., Any],
    options: dict[str, Any],
    *,
    concurrency: int | None,
    num_cpus: float,
    batch_size: int,
) -> Any:
    """Return a dataset that gives its rows to a function, in tasks."""
    ray_data = load_ray("ray.data")
    if concurrency is not None:
        check_whole("concurrency", concurrency, 1, _MOST_ROWS)
    spec: WorkerSpec = options["spec"]
    if spec.rate is not None:
        begin_budget(budget_name(spec.settings))
        cpus = load_ray().cluster_resources().get("CPU", 1.0)
        workers = concurrency or max(int(cpus / max(num_cpus, 0.01)), 1)
        options = {**options, "spec": fit_to_rate(spec, spec.rate, workers)}
    size = {} if concurrency is None else {"compute": ray_data.TaskPoolStrategy(size=concurrency)}
    return dataset.map_batches(
        function,
        batch_size=batch_size,
        batch_format="pyarrow",
        fn_kwargs=options,
        num_cpus=num_cpus,
        **size,
    )


def fit_to_rate(spec: WorkerSpec, rate: float, workers: int) -> WorkerSpec:
    """Return a spec with no more connections than the rate has use for, and time to wait for it.

    All that are open wait for a slot at once, within the time of their call.
    """
    settings = spec.settings
    most = int(rate * settings.timeout / (_TURNS * workers))
    connections = max(min(settings.max_concurrency, most), 1)
    seconds = max(settings.timeout, _TURNS * workers * connections / rate)
    return replace(spec, settings=replace(settings, max_concurrency=connections, timeout=seconds))


def make_spec(
    settings: ClientSettings,
    index: str | None,
    credentials: TravellingCredentials | None,
    *,
    rate_limit: float | None,
    keys_per_second: float | None,
    keys_per_call: Literal["keys_per_get", "vectors_per_put"],
) -> WorkerSpec:
    """Return what workers need, checked here, before anything travels.

    Raises:
        ConfigurationError: it cannot serve another process, or something is missing.
        InvalidRequestError: a rate is none.
    """
    config = _check_settings(settings, credentials)
    rates = {"rate_limit": rate_limit, "keys_per_second": keys_per_second}
    for name, value in rates.items():
        if value is not None and not (is_finite_number(value) and value > 0):
            text = "{argument} is a number above 0, not {value}."
            raise InvalidRequestError(text, argument=name, value=value)
    own: Any = settings.rate_limit  # a number of requests, or limits of requests and of keys
    requests = getattr(own, "requests", own) if rate_limit is None else rate_limit
    keys = getattr(own, "keys", None) if keys_per_second is None else keys_per_second
    per_call = getattr(config.limits, keys_per_call)
    rate = min(requests or math.inf, keys / per_call if keys else math.inf)
    token = uuid.uuid4().hex
    index = config.index_or(index)
    return WorkerSpec(settings, index, credentials, None if rate == math.inf else rate, token)


def _check_settings(settings: ClientSettings, credentials: object) -> ClientConfig:
    if isinstance(settings, OSSVectorClient):  # the likeliest mistake: what would be done is plain
        raise ConfigurationError(
            "{argument} are a client's settings, not the client",
            argument="settings",
            remedy="pass client.settings",
        )
    config = config_from(settings, _no_credentials)  # none are looked for here
    if settings.local is not None:
        raise ConfigurationError(
            "{argument} are of an embedded service, whose file one process alone can open",
            argument="settings",
            remedy="serve the file to all workers: oss-vectors serve --data FILE",
        )
    if credentials is not None and credentials != "chain" and not callable(credentials):
        raise ConfigurationError(
            "{argument} would travel to the workers, and lie in Ray's object store",
            argument="credentials",
            remedy='pass a function that gets them where it is called, or "chain", or none: each '
            "worker then reads those of its environment",
        )
    if credentials is None and settings.credentials == "given":
        raise ConfigurationError(
            "the client was given credentials, which do not travel with its settings",
            argument="credentials",
            remedy="pass {credentials=}: a function that gets them where it is called, or "
            '"chain"; or make the client of the settings with those of the environment',
        )
    return config


def _no_credentials() -> None:
    return None
