"""Calls that fail: what was written and what not is reported, and is so."""

import pytest

from oss_vector_retriever import PartialWriteError, emulator
from oss_vector_retriever.langchain import OSSVectorByteStore, OSSVectorStore


def test_what_failed_and_what_was_written_is_reported(service, client, model, call):
    store = OSSVectorStore(model, client=client.with_options(retry=1))
    call(store, "add_texts", ["a"], ids=["first"])
    service.faults.add(emulator.faults.ServerError(operation="PutVectors"))
    ids = [f"k{number}" for number in range(700)]
    with pytest.raises(PartialWriteError) as caught:
        call(store, "add_texts", ["a"] * 700, ids=ids)
    report = caught.value.report
    assert sorted((*report.written, *report.failed)) == sorted(ids)
    assert report.failed
    assert [document.id for document in call(store, "get_by_ids", ids)] == list(report.written)


def test_every_kind_of_write_reports_what_failed(service, client, model, call):
    ids = [f"k{number}" for number in range(700)]
    short = client.with_options(retry=1)
    store, rows = (
        OSSVectorStore(model, client=short),
        OSSVectorByteStore(client=short, key_prefix="b:"),
    )
    call(store, "add_texts", ["a"] * 700, ids=ids)
    call(rows, "mset", [(key, b"1") for key in ids])

    def report_of(operation, thing, name, *arguments):
        service.faults.add(emulator.faults.ServerError(operation=operation))
        with pytest.raises(PartialWriteError, match=r"report\.failed") as caught:
            call(thing, name, *arguments)
        report = caught.value.report
        assert len({*report.written, *report.failed}) == 700
        assert report.written
        assert report.failed
        return set(report.written), set(report.failed)

    written, _ = report_of("PutVectors", store, "update_metadata", ids, {"n": 1})
    assert {d.id for d in call(store, "get_by_ids", ids) if d.metadata} == written
    _, failed = report_of("DeleteVectors", store, "delete", ids)
    assert {d.id for d in call(store, "get_by_ids", ids)} == failed
    written, _ = report_of("PutVectors", rows, "mset", [(key, b"2") for key in ids])
    values = dict(zip(ids, call(rows, "mget", ids), strict=True))
    assert {f"b:{key}" for key, value in values.items() if value == b"2"} == written
    _, failed = report_of("DeleteVectors", rows, "mdelete", ids)
    values = dict(zip(ids, call(rows, "mget", ids), strict=True))
    assert {f"b:{key}" for key, value in values.items() if value is not None} == failed


def test_an_index_that_vanished_is_made_again(store, client, call):
    call(store, "add_texts", ["a"], ids=["x"])
    client.delete_vector_index(index="vectors")
    assert call(store, "similarity_search", "a") == []
    assert call(store, "add_texts", ["a"], ids=["y"]) == ["y"]
    assert [document.id for document in call(store, "similarity_search", "a")] == ["y"]
