"""What an import loads, each time in a new process."""

import subprocess
import sys

import pytest
from support.packages import FRAMEWORKS, HTTP_LIBRARIES, SERVERS

NAME = "oss_vector_retriever"


def fresh(code):
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in done.stdout.split()}, set(done.stdout.split())


HEAVY = {"numpy", "pydantic", "orjson", "asyncio", *HTTP_LIBRARIES, *SERVERS}
HEAVY |= {module for names in FRAMEWORKS.values() for module in names}


def test_importing_the_package_loads_next_to_nothing():
    tops, everything = fresh("import oss_vector_retriever")
    assert tops & HEAVY == set()
    own = {name for name in everything if name.startswith(NAME)}
    assert own == {NAME, f"{NAME}.lazy", f"{NAME}.version"}


def test_the_client_loads_no_framework_no_numpy_and_no_server():
    tops, everything = fresh(
        "from oss_vector_retriever import OSSVectorClient, Vector, FetchResult"
    )
    forbidden = {"numpy", "uvicorn", "sqlite3", "alibabacloud_credentials", "click", "rich"}
    forbidden |= {*FRAMEWORKS["langchain"], *FRAMEWORKS["llama_index"]}
    assert tops & forbidden == set()
    assert not any(name.startswith(f"{NAME}.emulator") for name in everything)


def test_the_client_loads_no_pydantic_which_took_a_third_of_its_time():
    tops, _ = fresh("from oss_vector_retriever import OSSVectorClient, VectorIndex, ClientSettings")
    assert tops & {"pydantic", "pydantic_core"} == set()


def test_the_client_loads_nothing_that_a_blocking_fetch_can_do_without():
    tops, everything = fresh("from oss_vector_retriever import OSSVectorClient")
    assert tops & {"asyncio", "ssl", "email", "html", "tempfile"} == set()
    assert "urllib.request" not in everything
    assert f"{NAME}.client.models.notebook" not in everything


def test_a_module_that_is_loaded_late_takes_its_place():
    fresh(
        "import sys\n"
        "from oss_vector_retriever.client.transport import http, runner\n"
        "assert 'asyncio' not in sys.modules\n"
        "try:\n    runner.running_loop()\n"
        "except Exception as error:\n    assert 'event loop' in str(error), error\n"
        "else:\n    raise AssertionError\n"
        "import asyncio\n"
        "assert runner.asyncio is asyncio\n"
        "assert http.asyncio.timeout is asyncio.timeout and http.asyncio is asyncio\n"
    )


def test_making_a_client_loads_no_numpy_either():
    tops, _ = fresh(
        "from oss_vector_retriever import OSSVectorClient as C\n"
        "C(bucket='abc', account_id='1', region='cn-hangzhou', credentials=('a', 'b')).close()"
    )
    assert tops & {"numpy", "uvicorn", "sqlite3"} == set()


def test_the_records_load_no_framework_and_no_http():
    tops, _ = fresh("import oss_vector_retriever.records")
    forbidden = {"numpy", "httpx", "httpx2", *FRAMEWORKS["langchain"], *FRAMEWORKS["llama_index"]}
    assert tops & forbidden == set()


def test_the_adapters_doors_open_without_their_frameworks():
    tops, _ = fresh("import oss_vector_retriever.langchain, oss_vector_retriever.llama_index")
    assert tops & {*FRAMEWORKS["langchain"], *FRAMEWORKS["llama_index"], "numpy"} == set()


def test_what_one_class_needs_is_asked_for_by_it_alone():
    fresh(
        "import sys\n"
        "sys.modules['graph_retriever'] = None\n"  # as where it is not installed
        "from oss_vector_retriever.langchain import *\n"
        "try:\n    OSSVectorAdapter(None)\n"
        "except ImportError as error:\n"
        "    assert 'pip install langchain-graph-retriever' in str(error), error\n"
        "else:\n    raise AssertionError\n"
    )


def test_the_emulator_loads_no_numpy_and_no_server():
    tops, _ = fresh("import oss_vector_retriever.emulator")
    assert tops & {"numpy", "uvicorn", "h11"} == set()


@pytest.mark.parametrize(
    ("framework", "door", "extra", "name"),
    [
        ("langchain_core", "oss_vector_retriever.langchain", "langchain", "OSSVectorRetriever"),
        ("langgraph", "oss_vector_retriever.langgraph", "langgraph", "OSSVectorGraphStore"),
        ("llama_index", "oss_vector_retriever.llama_index", "llama-index", "OSSVectorRetriever"),
    ],
)
def test_without_its_framework_an_adapter_says_what_to_install(framework, door, extra, name):
    code = f"import sys; sys.modules[{framework!r}] = None\nfrom {door} import {name}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    last = done.stderr.strip().splitlines()[-1]
    assert f'pip install "oss-vector-retriever[{extra}]"' in last
    assert last.startswith("ImportError: ")
