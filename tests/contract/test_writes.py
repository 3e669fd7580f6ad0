"""Writes of any size, pagers, and the settings of a bucket, by every way to reach a service."""

import pytest

from oss_vector_retriever import (
    AccessDeniedError,
    InvalidRequestError,
    NoSuchVectorIndexError,
    OSSVectorClient,
    PartialWriteError,
    ServiceError,
    emulator,
)


def vectors(count, **metadata):
    return [
        {"key": f"k{n:05d}", "data": [n + 1, 1, 0.5], "metadata": metadata} for n in range(count)
    ]


def every(face, name, **options):
    """Collect what a pager yields, from a sync or an async client."""
    pages = getattr(face.client, name)(**options)
    if hasattr(pages, "__aiter__"):

        async def collect():
            return [item async for item in pages]

        return face.runner.run(collect())
    return list(pages)


@pytest.mark.parametrize(("count", "calls"), [(0, 0), (1, 1), (500, 1), (501, 2), (1700, 4)])
def test_upsert_and_delete_take_any_number(face, count, calls):
    report = face.upsert(vectors(count))
    keys = [vector["key"] for vector in vectors(count)]
    assert (report.ok, list(report.written), len(report.batches)) == (True, keys, calls)
    assert all(batch.request_id for batch in report.batches)
    assert [vector.key for vector in face.fetch(keys)] == keys
    assert len(face.delete([*keys, *keys[:3]]).batches) == calls
    assert list(face.fetch(keys).missing) == keys


def test_pagers_yield_every_item_once(face):
    face.upsert(vectors(25))
    listed = every(face, "iter_vectors", max_results=10, return_metadata=True)
    assert sorted(vector.key for vector in listed) == [vector["key"] for vector in vectors(25)]
    name = face.client.config.index
    assert [i.index_name for i in every(face, "iter_vector_indexes", prefix=name)] == [name]
    bucket = face.client.config.bucket
    assert bucket in {b.name for b in every(face, "iter_vector_buckets", max_keys=1)}


def test_nothing_is_written_where_one_vector_breaks_a_rule(face):
    good = vectors(600)
    for bad, said in (
        ({"key": "k00001", "data": [1, 2, 3]}, "more than once"),
        ({"key": "", "data": [1, 2, 3]}, "1 to 1024 characters"),
        ({"key": "x", "data": [1, float("inf"), 3]}, "infinite"),
        (
            {"key": "x", "data": [1, 2, 3], "metadata": {"t": "x" * 41_000}},
            "40,960; the largest is t",
        ),
    ):
        with pytest.raises(InvalidRequestError, match=said):
            face.upsert([*good, bad])
    assert every(face, "iter_vectors") == []


def test_filterable_metadata_are_measured_before_the_call(face):
    with pytest.raises(InvalidRequestError, match=r"3,008 filterable bytes, .* the largest is t"):
        face.upsert([{"key": "x", "data": [1, 2, 3], "metadata": {"t": "x" * 3000}}])
    many = {f"f{n}": "x" for n in range(11)}
    with pytest.raises(InvalidRequestError, match="11 filterable fields"):
        face.upsert([{"key": "x", "data": [1, 2, 3], "metadata": many}])


def test_what_a_call_could_not_write_is_reported(face):
    mixed = [*vectors(500), {"key": "short", "data": [1, 2]}]
    with pytest.raises(PartialWriteError) as caught:
        face.upsert(mixed)
    report = caught.value.report
    assert (len(report.written), report.failed) == (500, ("short",))
    assert "1 of 2 calls failed, with 1 keys" in str(caught.value)
    assert face.upsert(mixed, on_error="report").failed == ("short",)
    with pytest.raises(PartialWriteError) as caught:
        face.delete(["a"], index="absent")
    assert isinstance(caught.value.report.batches[0].error, NoSuchVectorIndexError)


@pytest.fixture
def owner_and_user():
    """Give the bucket's owner, and a user of another key who may do what a policy allows."""
    account = emulator.DEVELOPMENT_ACCOUNT_ID
    keys = [
        emulator.AccessKey("owner-key-id", "owner-secret-1", account),
        emulator.AccessKey("user-key-id", "user-secret-1", account, user="reader"),
    ]
    with (
        emulator.Service.in_memory(access_keys=keys) as service,
        emulator.Server(service) as server,
    ):
        service.create_bucket(account, "policed")
        clients = [
            OSSVectorClient(
                endpoint=server.endpoint,
                bucket="policed",
                account_id=account,
                region=emulator.DEVELOPMENT_REGION,
                index="notes",
                credentials=(key.id, key.secret),
            )
            for key in keys
        ]
        yield clients
        for client in clients:
            client.close()


def test_a_policy_really_denies_and_allows(owner_and_user):
    owner, user = owner_and_user
    owner.put_vector_index(dimension=3)
    owner.upsert(vectors(1))
    with pytest.raises(AccessDeniedError):
        user.fetch(["k00000"])
    policy = {
        "Version": "1",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["oss:GetVectors"],
                "Principal": ["*"],
                "Resource": ["acs:ossvector:*:*:*"],
            }
        ],
    }
    owner.put_bucket_policy(policy)
    assert owner.get_bucket_policy() == policy
    assert user.fetch(["k00000"])[0].key == "k00000"
    with pytest.raises(AccessDeniedError, match="PutVectors on index 'notes' of bucket 'policed'"):
        user.put_vectors(vectors(1))
    owner.delete_bucket_policy()
    with pytest.raises(AccessDeniedError):
        user.fetch(["k00000"])


def test_logging_is_set_read_and_removed(owner_and_user):
    owner, _ = owner_and_user
    assert owner.get_bucket_logging() is None
    owner.put_bucket_logging(target_bucket="logs", target_prefix="oss/", logging_role="role")
    logging = owner.get_bucket_logging()
    assert (logging.target_bucket, logging.target_prefix) == ("logs", "oss/")
    assert logging.logging_role == "role"
    owner.delete_bucket_logging()
    assert owner.get_bucket_logging() is None


def test_fusion_is_asked_for_as_the_page_says(owner_and_user):
    owner, _ = owner_and_user
    with pytest.raises(InvalidRequestError, match="fields"):
        owner.put_vector_index_fusion({})
    schema = {"fields": [{"name": "v", "type": "vector", "dataType": "float32", "dimension": 3}]}
    with pytest.raises(ServiceError) as caught:
        owner.put_vector_index_fusion(schema)
    assert (caught.value.code, caught.value.status) == ("NotImplemented", 501)
    with pytest.raises(ServiceError, match="QueryVectorsFusion on index 'notes'"):
        owner.query_vectors_fusion(knn={"field": "v", "queryVector": [1, 2, 3]}, limit=5)
