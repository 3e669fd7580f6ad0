"""A service in a process of its own, so that what is measured is the client alone."""

import subprocess
import sys

import pytest

from oss_vector_retriever import OSSVectorClient, emulator

SERVE = """
import sys
from oss_vector_retriever import emulator
from oss_vector_retriever.emulator.http.server import run
behaviour = emulator.Behaviour(float_text=sys.argv[1])
with emulator.Service.in_memory(behaviour=behaviour) as service:
    service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
    run(service, port=0, on_ready=lambda endpoint: print(endpoint, flush=True))
"""


@pytest.fixture(scope="module", params=["shortest", "double"])
def served(request):
    """Run a service that writes float32 in its shortest text, or with all digits of a double."""
    command = [sys.executable, "-c", SERVE, request.param]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip()
        process.terminate()
        process.stdout.close()


@pytest.fixture(scope="module")
def client(served):
    """Give a client of the served bucket."""
    with OSSVectorClient(
        endpoint=served,
        bucket=emulator.DEVELOPMENT_BUCKET,
        account_id=emulator.DEVELOPMENT_ACCOUNT_ID,
        region=emulator.DEVELOPMENT_REGION,
        credentials=(emulator.DEVELOPMENT_ACCESS_KEY_ID, emulator.DEVELOPMENT_ACCESS_KEY_SECRET),
    ) as client:
        yield client
