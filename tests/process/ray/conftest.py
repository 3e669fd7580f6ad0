"""A Ray of two CPUs on this machine, and an index behind a server; `make ray` runs these tests."""

import os
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from support.served_index import IDENTITY, serve_index

from oss_vector_retriever import OSSVectorClient

NEEDED = "OSS_VECTORS_NEED_RAY" in os.environ
ROOT = Path(__file__).parents[3]
VECTORS = 3000
DIMENSION = 4


def pytest_collection_modifyitems(items):
    """Leave Ray's tests to `make ray`: beginning it takes longer than thousands of others."""
    if NEEDED:
        return
    here = f"{Path(__file__).parent}{os.sep}"
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.skip(reason="Ray is tried by: make ray"))


@pytest.fixture(scope="session")
def ray():
    """Begin a Ray that speaks to nobody outside, and end it."""
    os.environ.update(
        IDENTITY,
        RAY_USAGE_STATS_ENABLED="0",
        RAY_AUTH_MODE="disabled",  # else it writes a token into the user's home
        RAY_ENABLE_UV_RUN_RUNTIME_ENV="0",
        PYTHONPATH=os.pathsep.join([str(ROOT), str(ROOT / "tests")]),  # the workers' way to us
    )
    # a short path: the sockets of Ray are in it
    folder = tempfile.mkdtemp(prefix="ray-")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own import and start
        import ray  # noqa: PLC0415
        import ray.data  # noqa: PLC0415

        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=300_000_000,
            log_to_driver=False,
            logging_level="error",
            _temp_dir=folder,
            _node_ip_address="127.0.0.1",
        )
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
    yield ray
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def endpoint(ray):  # noqa: ARG001 - it sets the environment
    """Serve an index of vectors `key-0` and so on, which nobody changes."""
    numbers = np.random.default_rng(4).standard_normal((VECTORS, DIMENSION), dtype=np.float32)
    vectors = [
        {"key": f"key-{n}", "data": row.tolist(), "metadata": {"n": str(n)} if n % 3 else None}
        for n, row in enumerate(numbers)
    ]
    with serve_index("docs", vectors, dimension=DIMENSION) as endpoint:
        yield endpoint


@pytest.fixture
def client(endpoint):
    with OSSVectorClient(endpoint=endpoint, index="docs") as client:
        yield client
