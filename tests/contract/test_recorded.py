"""A live run of this suite, told by a record what the account's service does.

The service is an emulator, and the record one that `oss-vectors doctor --record` makes of it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.command_line import call
from support.faces import close_face, live_face

from oss_vector_retriever import emulator

# all that can be otherwise than the suite's other services are
LAGGING = emulator.Behaviour(
    order="shuffled",
    duplicates="each",
    float_text="double",
    omit_empty_vectors=True,
    show_empty_metadata=True,
    top_k_limit=30,
    scalars="refused",
    metadata_names="all",
    list_filter="refused",
    index_creation_seconds=0.2,
    creating_refuses_writes=True,
    enable_failure_seconds=0.2,
    get_delay_seconds=0.1,
    query_delay_seconds=0.2,
)


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """Give the variables that name a live service, and the record of it."""
    path = tmp_path_factory.mktemp("recorded") / "account.json"
    with (
        pytest.MonkeyPatch.context() as environment,
        emulator.Service.in_memory(behaviour=LAGGING) as service,
        emulator.Server(service) as server,
    ):
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, "live")
        variables = {
            "OSS_ENDPOINT": server.endpoint,
            "OSS_REGION": emulator.DEVELOPMENT_REGION,
            "OSS_ACCOUNT_ID": emulator.DEVELOPMENT_ACCOUNT_ID,
            "OSS_ACCESS_KEY_ID": emulator.DEVELOPMENT_ACCESS_KEY_ID,
            "OSS_ACCESS_KEY_SECRET": emulator.DEVELOPMENT_ACCESS_KEY_SECRET,
            "OSS_VECTORS_LIVE_BUCKET": "live",
            "OSS_VECTORS_LIVE_RECORD": str(path),
        }
        for name, value in variables.items():
            environment.setenv(name, value)
        done = call("doctor", "--record", path, "--yes", "--patience", 5)
        assert done.status == 0, done.errors
        yield variables


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize("how", ["sync", "async"])
def test_it_waits_for_what_lags(how):
    face = live_face(how, "waited")
    try:
        face.put_vector_index(dimension=2)
        face.put_vectors([{"key": "a", "data": [1, 0]}])
        assert [vector.key for vector in face.fetch(["a", "a"])] == ["a", "a"]
        assert [hit.key for hit in face.query_vectors([1, 0], top_k=30)] == ["a"]
        assert face.client.config.limits.top_k == 30
    finally:
        close_face(face, "waited")


@pytest.mark.usefixtures("named")
def test_without_the_record_it_does_not(monkeypatch):
    monkeypatch.delenv("OSS_VECTORS_LIVE_RECORD")
    face = live_face("sync", "unwaited")
    try:
        face.put_vector_index(dimension=2)
        assert face.get_vector_index().status == "creating"
    finally:
        close_face(face, "unwaited")


@pytest.mark.soak  # it takes a minute
def test_the_whole_suite_passes(named):
    words = [sys.executable, "-m", "pytest", "-m", "live", "-q", Path(__file__).parent]
    done = subprocess.run(
        [str(word) for word in words],
        env={**os.environ, **named},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout
