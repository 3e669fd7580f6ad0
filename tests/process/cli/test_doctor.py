"""Doctor: each thing that can be wrong is found by its real cause, with what to do about it."""

import json
import os
import re
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from support.command_line import call

from oss_vector_retriever import OSSVectorClient, emulator
from oss_vector_retriever.cli.commands.doctor import CHECKS
from oss_vector_retriever.client.endpoint import Endpoint
from oss_vector_retriever.emulator import faults
from oss_vector_retriever.records.settings import StoreSettings
from oss_vector_retriever.records.store import RecordStore

SECRET = "canary-secret-of-nobody"
KEY = emulator.AccessKey("canary-id", SECRET, "1000")
FIELDS = ("_record", "_record_text")


class Bench:
    """Run a service with a bucket and an index, and call doctor about it."""

    def __init__(self, monkeypatch):
        self.monkeypatch = monkeypatch
        self.offset = timedelta(0)
        self.service = emulator.Service.in_memory(
            access_keys=[KEY], clock=lambda: datetime.now(UTC) + self.offset
        )
        self.service.create_bucket("1000", "bucket")

    def point_at(self, endpoint):
        self.settings = {
            "OSS_ENDPOINT": endpoint,
            "OSS_REGION": "cn-hangzhou",
            "OSS_ACCOUNT_ID": "1000",
            "OSS_VECTORS_BUCKET": "bucket",
            "OSS_VECTORS_INDEX": "notes",
            "OSS_ACCESS_KEY_ID": KEY.id,
            "OSS_ACCESS_KEY_SECRET": SECRET,
        }
        for name, value in self.settings.items():
            self.monkeypatch.setenv(name, value)

    def doctor(self, *words):
        done = call("doctor", "--output-format", "json", *words)
        assert "canary" not in done.output + done.errors
        checks = {found["check"]: found for found in done.json["checks"]}
        assert tuple(checks) == CHECKS
        failed = [found for found in checks.values() if found["status"] in ("failed", "busy")]
        assert all(found["hint"] for found in failed)
        assert done.status == (1 if failed else 0)
        return checks


@pytest.fixture
def bench(monkeypatch):
    bench = Bench(monkeypatch)
    with bench.service, emulator.Server(bench.service) as server:
        bench.point_at(server.endpoint)
        with OSSVectorClient() as client:
            client.put_vector_index(dimension=2, non_filterable_metadata_keys=FIELDS)
            client.put_vectors([{"key": "a", "data": [1, 2], "metadata": {"t": "x"}}])
            yield bench


def statuses(checks):
    return {check: found["status"] for check, found in checks.items()}


def only_failure(checks):
    (failed,) = (found for found in checks.values() if found["status"] == "failed")
    return failed


def test_where_all_is_well_it_says_what_it_found(bench):
    checks = bench.doctor()
    assert statuses(checks) == {**dict.fromkeys(CHECKS, "ok"), "TLS": "skipped"}
    assert "bucket bucket (OSS_VECTORS_BUCKET)" in checks["settings"]["detail"]
    assert checks["credentials"]["detail"] == (
        "OSS_ACCESS_KEY_ID (9 characters), OSS_ACCESS_KEY_SECRET (23), no OSS_SESSION_TOKEN"
    )
    assert "dimension 2, cosine, non-filterable _record, _record_text" in checks["index"]["detail"]
    assert "'a' has 2 float32 and 1 metadata field" in checks["vectors"]["detail"]


def test_it_says_which_settings_were_given_by_flag(bench):
    found = bench.doctor("--bucket", "bucket", "--index-name", "notes")["settings"]["detail"]
    assert "bucket bucket (--bucket)" in found
    assert "index notes (--index-name)" in found


@pytest.mark.usefixtures("bench")
def test_it_prints_a_table_with_what_to_do_below():
    done = call("doctor", "--index-name", "nosuch")
    assert done.status == 1
    assert "│ index" in done.output
    assert "index: check --index-name, or make it: oss-vectors put-vector-index" in done.output


def test_missing_settings_are_named(bench, monkeypatch):
    monkeypatch.delenv("OSS_VECTORS_BUCKET")
    checks = bench.doctor()
    assert "--bucket or set the environment variable OSS_VECTORS" in only_failure(checks)["detail"]
    assert set(statuses(checks).values()) == {"failed", "skipped"}


def test_missing_credentials_are_named_and_the_way_is_looked_at_all_the_same(bench, monkeypatch):
    monkeypatch.delenv("OSS_ACCESS_KEY_SECRET")
    checks = bench.doctor()
    assert only_failure(checks)["check"] == "credentials"
    assert "set OSS_ACCESS_KEY_ID and" in checks["credentials"]["hint"]
    assert (checks["clock"]["status"], checks["signature"]["status"]) == ("ok", "skipped")


def test_a_host_that_nobody_knows(bench, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)  # a real look-up would leave this machine
    failed = only_failure(bench.doctor("--endpoint", "https://nosuch.invalid"))
    assert failed["check"] == "name"
    assert "bucket-1000.nosuch.invalid cannot be looked up" in failed["detail"]


def test_https_to_what_answers_plain_http_names_the_address_to_use(bench, monkeypatch):
    plain = os.environ["OSS_ENDPOINT"]
    secure = plain.replace("http:", "https:")
    failed = only_failure(bench.doctor("--endpoint", secure))
    assert (failed["check"], failed["detail"]) == ("TLS", "not agreed on: it answers plain http")
    assert failed["hint"] == f"use {plain}"
    asked = ("list-vectors", "--index-name", "notes", "--endpoint")
    said = call(*asked, secure).errors
    assert f"(SSLError): it answers plain http: use {plain}." in said
    # another machine's may be read by all on the way, which must be wanted
    monkeypatch.setattr(Endpoint, "is_loopback", False)
    assert f"use {plain}, and --allow-http for all to read it." in call(*asked, secure).errors
    # what names no scheme is a service of this machine, as `serve` is
    assert call(*asked, plain.removeprefix("http://")).status == 0


def test_a_port_where_nobody_listens(bench):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    failed = only_failure(bench.doctor("--endpoint", f"http://127.0.0.1:{port}"))
    assert failed["check"] == "connection"
    assert f"nobody answers on 127.0.0.1 port {port}" in failed["detail"]


@pytest.fixture
def stranger():
    """Serve one byte string to whoever comes; with a context, behind TLS."""
    listeners = []

    def serve(said, context=None):
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=answer, args=(listener, said, context), daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield serve
    for listener in listeners:
        listener.close()


def answer(listener, said, context):
    while True:
        try:
            link, _ = listener.accept()
        except OSError:
            return
        with link:
            try:
                if context:
                    link = context.wrap_socket(link, server_side=True)
                link.recv(65536)
                link.sendall(said)
            except OSError:
                pass
            finally:
                link.close()


def test_a_certificate_that_is_not_accepted(bench, stranger):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    failed = only_failure(bench.doctor("--endpoint", f"https://{stranger(b'', context)}"))
    assert failed["check"] == "TLS"
    assert "certificate" in failed["detail"]


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_certificates_that_are_not_there(bench, monkeypatch, variable):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv(variable, "/nowhere/certificates")
    failed = only_failure(bench.doctor("--endpoint", "https://127.0.0.1:9"))
    assert failed["check"] == "settings"
    assert failed["detail"].startswith(f"{variable} '/nowhere/certificates' ")
    assert failed["detail"].endswith(": No such file or directory.")


def test_a_proxy_that_refuses(bench, monkeypatch, stranger):
    refusal = b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"
    address = stranger(refusal)
    monkeypatch.setenv("http_proxy", f"http://user:canary@{address}")
    failed = only_failure(bench.doctor("--endpoint", "http://service.test", "--allow-http"))
    assert failed["check"] == "answer"
    said = "leads nowhere (HTTP 407 Proxy Authentication Required)"
    assert failed["detail"] == f"the proxy http://{address} {said}"


def test_something_else_than_the_service(bench, stranger):
    failed = only_failure(bench.doctor("--endpoint", f"http://{stranger(b'220 mail ready')}"))
    assert failed["check"] == "answer"
    assert "does not answer in HTTP" in failed["detail"]


@pytest.mark.parametrize(
    ("minutes", "status", "said"),
    [
        (20, "failed", r"0:(19:5|20:0)\d behind"),
        (-30, "failed", r"0:(29:5|30:0)\d ahead of"),
        (3, "warning", r"0:0(2:5|3:0)\d"),
    ],
)
def test_a_clock_that_is_off(bench, minutes, status, said):
    bench.offset = timedelta(minutes=minutes)
    checks = bench.doctor()
    assert checks["clock"]["status"] == status
    assert re.match(said, checks["clock"]["detail"])
    assert checks["vectors"]["status"] == "ok"  # the client corrects itself


def test_a_wrong_secret(bench, monkeypatch):
    monkeypatch.setenv("OSS_ACCESS_KEY_SECRET", "canary-wrong")
    checks = bench.doctor()
    assert only_failure(checks)["check"] == "signature"
    assert "SignatureDoesNotMatch" in checks["signature"]["detail"]
    assert checks["signature"]["hint"].startswith("Check OSS_ACCESS_KEY_SECRET")


def test_an_unknown_key_id(bench, monkeypatch):
    monkeypatch.setenv("OSS_ACCESS_KEY_ID", "canary-other")
    assert "InvalidAccessKeyId" in only_failure(bench.doctor())["detail"]


def test_a_bucket_that_is_not_there(bench):
    failed = only_failure(bench.doctor("--bucket", "nosuch"))
    assert (failed["check"], failed["detail"]) == (
        "bucket",
        "account 1000 has no bucket nosuch in cn-hangzhou",
    )
    assert "oss-vectors put-vector-bucket" in failed["hint"]


def test_an_index_that_is_not_there(bench):
    failed = only_failure(bench.doctor("--index-name", "nosuch"))
    assert (failed["check"], failed["detail"]) == ("index", "nosuch is not there; there are notes")


def test_without_an_index_the_bucket_is_asked(bench, monkeypatch):
    monkeypatch.delenv("OSS_VECTORS_INDEX")
    checks = bench.doctor()
    assert checks["settings"]["status"] == "warning"
    assert checks["permission"]["detail"] == "ListVectorIndexes is allowed"
    assert statuses(checks)["vectors"] == "skipped"


@pytest.mark.parametrize(
    ("action", "check", "resource"),
    [
        ("GetVectorIndex", "permission", "bucket/notes in"),
        ("GetVectors", "vectors", "bucket/notes/* in"),
    ],
)
def test_a_policy_that_denies(bench, action, check, resource):
    statement = {"Effect": "Deny", "Action": f"oss:{action}", "Principal": "*", "Resource": "*"}
    with OSSVectorClient() as client:
        client.put_bucket_policy({"Version": "1", "Statement": [statement]})
    checks = bench.doctor()
    failed = only_failure(checks)
    assert failed["check"] == check
    assert f"{action} is denied" in failed["detail"]
    assert f"allow oss:{action} on acs:ossvector:cn-hangzhou:1000:{resource}" in failed["hint"]
    assert checks["signature"]["status"] == "ok"


def test_an_index_whose_envelope_can_be_filtered_by(bench):
    with OSSVectorClient() as client:
        client.put_vector_index(index="bare", dimension=2)
    checks = bench.doctor("--index-name", "bare")
    assert checks["index"]["status"] == "warning"
    assert "_record and _record_text can be filtered by" in checks["index"]["hint"]
    assert "no vector is known to be there" in checks["vectors"]["detail"]


def test_old_records_are_counted_and_how_the_search_filters_is_said(bench):
    old = {"_record": '{"v": 1, "metadata": {}}', "_record_text": "t", "t": "y"}
    with OSSVectorClient() as client:
        client.put_vectors([{"key": "old", "data": [2, 1], "metadata": old}])
    checks = bench.doctor()
    assert checks["records"]["status"] == "warning"
    assert checks["records"]["detail"] == "1 of all 2 vectors are records of version 1"
    assert "update_metadata(ids, {})" in checks["records"]["hint"]
    assert (checks["search"]["status"], checks["search"]["detail"][:11]) == ("ok", "ranks first")


@pytest.mark.parametrize(
    ("action", "denied"),
    [("ListVectors", ["records", "search", "parts"]), ("QueryVectors", ["search"])],
)
def test_who_may_only_fetch_is_told_nothing_of_the_rest(bench, action, denied):
    statement = {"Effect": "Deny", "Action": f"oss:{action}", "Principal": "*", "Resource": "*"}
    with OSSVectorClient() as client:
        client.put_bucket_policy({"Version": "1", "Statement": [statement]})
    checks = bench.doctor("--key", "a")
    skipped = [check for check, status in statuses(checks).items() if status == "skipped"]
    assert skipped == ["TLS", *denied]
    assert f"{action} is denied" in checks[denied[0]]["detail"]


def test_a_key_can_be_named(bench):
    assert "'gone' is not there" in bench.doctor("--key", "gone")["vectors"]["detail"]


def test_an_embedded_service_is_examined_without_a_network(bench, tmp_path):
    path = tmp_path / "x.db"
    with OSSVectorClient.local(path, index="notes") as client:
        client.put_vector_index(dimension=2, non_filterable_metadata_keys=FIELDS)
    found = statuses(bench.doctor("--local", path))
    assert found["vectors"] == found["index"] == "ok"
    assert found["connection"] == "skipped"


@pytest.mark.usefixtures("bench")
def test_its_findings_can_be_queried():
    query = "checks[?status=='failed'].check"
    done = call("doctor", "--bucket", "nosuch", "--output-query", query, "--output-format", "json")
    assert json.loads(done.output) == ["bucket"]


def test_a_service_that_limits_the_rate_is_busy_and_no_signature_is_wrong(bench):
    bench.service.faults.add(faults.Throttle(times=None))
    checks = bench.doctor("--timeout", "2")
    assert checks["signature"]["status"] == "busy"
    assert re.search(r"QpsLimitExceeded, asked [2-9] times in \d", checks["signature"]["detail"])
    assert "later" in checks["signature"]["hint"]
    assert statuses(checks)["vectors"] == "skipped"


def test_a_service_that_is_busy_for_a_moment_is_asked_again(bench):
    bench.service.faults.add(faults.Throttle(times=2, operation="GetVectorIndex"))
    assert set(statuses(bench.doctor()).values()) <= {"ok", "skipped"}


def test_only_the_fetch_may_be_refused_for_the_rate(bench):
    bench.service.faults.add(faults.Throttle(times=None, operation="GetVectors"))
    checks = bench.doctor("--timeout", "2")
    assert (checks["signature"]["status"], checks["vectors"]["status"]) == ("ok", "busy")


def test_a_disabled_key_is_no_matter_of_policies(bench):
    disabled = emulator.AccessKey("disabled-id", "disabled-secret", "1000", enabled=False)
    with (
        emulator.Service.in_memory(access_keys=[disabled]) as service,
        emulator.Server(service) as server,
    ):
        bench.monkeypatch.setenv("OSS_ENDPOINT", server.endpoint)
        bench.monkeypatch.setenv("OSS_ACCESS_KEY_ID", "disabled-id")
        bench.monkeypatch.setenv("OSS_ACCESS_KEY_SECRET", "disabled-secret")
        found = bench.doctor()["signature"]
    assert found["status"] == "failed"
    assert "UserDisable" in found["detail"]
    assert "Enable this RAM user" in found["hint"]
    assert "policy" not in found["hint"]


def test_parts_that_no_record_names_are_counted_and_swept(bench):
    with OSSVectorClient() as client:
        store, name = RecordStore(StoreSettings(side_index="beside")), "beside"
        vector = store.encode("large", [1, 2], text="".join(map(str, range(30_000))))
        bench.offset = timedelta(hours=-2)
        client.run(store.write, [vector])
        parts = [part.key for part in client.iter_vectors(index=name)]
        client.run(store.delete, ["large"])
        # as a writer that was killed before the head was written
        client.upsert([{"key": key, "data": [0], "metadata": {}} for key in parts], index=name)
        bench.offset = timedelta(0)
        assert bench.doctor()["parts"]["detail"].startswith("0 parts of large values")
        found = bench.doctor("--side-index", name)["parts"]
        assert (found["status"], found["detail"][:2]) == ("warning", f"{len(parts)} ")
        assert "--sweep" in found["hint"]
        swept = bench.doctor("--side-index", name, "--sweep")["parts"]
        assert (swept["status"], swept["detail"][:10]) == ("ok", f"removed {len(parts)} ")
        assert not client.list_vectors(index=name)
