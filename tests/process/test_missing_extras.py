"""What needs an extra that is not installed says which: all of it without them, in one process."""

import json
import subprocess
import sys

import pytest
from support.pages import setting_of_docs
from support.promises import sized

# Modules are hidden as if they were not installed: neither found nor imported.
PROGRAM = """
import asyncio, contextlib, importlib.util, io, json, sys

HIDDEN = {"numpy", "uvicorn", "h11", "pyarrow", "rich", "pandas", "polars", "jinja2", "starlette"}
HIDDEN |= {"httpx2", "mcp", "ray", "yaml", "jmespath", "alibabacloud_credentials"}
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in HIDDEN else find_spec(name, *rest)

class Hiding:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hiding())
from oss_vector_retriever import OSSVectorClient, emulator
from oss_vector_retriever.cli.application import run

path = sys.argv[1]
client = OSSVectorClient.local(path, index="vectors")
client.put_vector_index(dimension=2)
client.put_vectors([{"key": "a", "data": [1, 2]}])
local = ["--local", path, "--index-name", "vectors"]
said = {}

def note(name, call, *arguments):
    shown = io.StringIO()
    try:
        with contextlib.redirect_stderr(shown), contextlib.redirect_stdout(shown):
            call(*arguments)
        said[name] = shown.getvalue().strip()
    except Exception as error:
        said[name] = f"{type(error).__name__}: {error}"

note("matrix", lambda: client.fetch(["a"]).matrix())
note("numpy", lambda: client.fetch(["a"])[0].data.numpy())
note("arrow", lambda: client.fetch(["a"]).to_arrow())
note("pandas", lambda: client.fetch(["a"]).to_pandas())
note("polars", lambda: client.fetch(["a"]).to_polars())
note("batches", lambda: list(client.stream(["a"]).to_arrow_batches()))
note("chain", lambda: client.with_options(credentials="chain").fetch(["a"]))
ray = importlib.import_module("oss_vector_retriever.ray")
note("ray fetch", lambda: ray.fetch(None, client.settings))
note("ray upsert", lambda: ray.upsert(None, client.settings))
note("ray run_fetch", lambda: ray.run_fetch("x", path + "out", client.settings))
note("ray run_upsert", lambda: ray.run_upsert("x", path + "out", client.settings))
note("search", lambda: client.query_vectors([1, 2]))
note("embeddings", __import__, "oss_vector_retriever.embeddings")
note("server", lambda: emulator.Server)
client.close()  # a file is one process's, and there one client's
for words in ("export x.npy", "export x.parquet", "import x.parquet", "query-vectors --key a",
              "list-vectors --output-format table", "list-vectors --output-format yaml",
              "list-vectors --output-query a", "mcp"):
    note(words, run, [*words.split(), *local])
for words in ("serve", "demo"):
    note(words, run, [words])
note("studio, neither", run, ["studio", *local[:2]])
note("page", lambda: __import__("oss_vector_retriever.studio").studio.Studio)
sys.meta_path[0].find_spec = lambda name, path=None, target=None: (
    None if name.partition(".")[0] not in {"jinja2", "starlette"} else Hiding().find_spec(name)
)
note("studio", run, ["studio", *local[:2]])

async def ask():
    command = importlib.import_module("oss_vector_retriever.cli.commands.studio")
    sent = []
    async def send(message):
        sent.append(message)
    with emulator.Service.in_memory() as service:
        page = command.ServedPage(service, emulator.DEVELOPMENT_KEY, None, None)
        await page.answer({}, None, send)
    print(sent[0]["status"], sent[1]["body"].decode())

note("page of serve", lambda: asyncio.run(ask()))

HIDDEN.add("click")
sys.meta_path[0] = Hiding()
for name in list(sys.modules):
    if name.startswith(("click", "oss_vector_retriever.cli")):
        del sys.modules[name]
main = importlib.import_module("oss_vector_retriever.cli.main")

def start(*words):
    sys.argv[1:] = words
    try:
        main._application()
    except SystemExit as end:
        print(end)

for words in ("", "list-vectors", "studio", "mcp", "serve"):
    note(f"no click {words}".strip(), start, *words.split())
print(json.dumps(said))
"""
EXPECTED = {
    "matrix": "ImportError: FetchResult.matrix() needs numpy: pip install numpy",
    "numpy": "ImportError: Float32Array.numpy() needs numpy: pip install numpy",
    "arrow": 'ImportError: to_arrow() needs pyarrow: pip install "oss-vector-retriever[arrow]"',
    "pandas": "ImportError: to_pandas() needs pandas: "
    'pip install "oss-vector-retriever[arrow]" pandas',
    "polars": "ImportError: to_polars() needs polars: "
    'pip install "oss-vector-retriever[arrow]" polars',
    "batches": "ImportError: to_arrow_batches() needs pyarrow: "
    'pip install "oss-vector-retriever[arrow]"',
    "chain": 'ConfigurationError: credentials="chain" needs a package: '
    'pip install "oss-vector-retriever[credentials]"',
    **{
        f"ray {name}": f"ImportError: oss_vector_retriever.ray.{name} needs pyarrow: "
        'pip install "oss-vector-retriever[ray]"'
        for name in ("fetch", "upsert", "run_fetch", "run_upsert")
    },
    "list-vectors --output-format yaml": "oss-vectors: this needs yaml: "
    'pip install "oss-vector-retriever[cli]"',
    "list-vectors --output-query a": "oss-vectors: this needs jmespath: "
    'pip install "oss-vector-retriever[cli]"',
    "mcp": 'oss-vectors: this needs mcp: pip install "oss-vector-retriever[mcp]"',
    "search": "ConfigurationError: a search in an embedded service needs numpy: "
    'pip install "oss-vector-retriever[emulator]".',
    "embeddings": "ImportError: oss_vector_retriever.embeddings needs numpy: pip install numpy",
    "server": "ImportError: oss_vector_retriever.emulator.Server needs h11: "
    'pip install "oss-vector-retriever[emulator]"',
    "export x.npy": "oss-vectors: this needs numpy: pip install numpy",
    "export x.parquet": "oss-vectors: this needs pyarrow: "
    'pip install "oss-vector-retriever[parquet]"',
    "import x.parquet": "oss-vectors: this needs pyarrow: "
    'pip install "oss-vector-retriever[parquet]"',
    "query-vectors --key a": "oss-vectors: a search in an embedded service needs numpy: "
    'pip install "oss-vector-retriever[emulator]".',
    "list-vectors --output-format table": "oss-vectors: this needs rich: "
    'pip install "oss-vector-retriever[cli]"',
    "serve": 'oss-vectors: this needs h11: pip install "oss-vector-retriever[emulator]"',
    "page": "ImportError: oss_vector_retriever.studio.Studio needs jinja2: "
    'pip install "oss-vector-retriever[studio]"',
    "page of serve": "501 oss_vector_retriever.studio.Studio needs jinja2: "
    'pip install "oss-vector-retriever[studio]"',
    "studio": "oss-vectors: oss_vector_retriever.studio.Studio needs jinja2: "
    'pip install "oss-vector-retriever[studio]"',
    "studio, neither": "oss-vectors: oss_vector_retriever.studio.Studio needs jinja2: "
    'pip install "oss-vector-retriever[studio]"',
    "demo": 'oss-vectors: this needs rich: pip install "oss-vector-retriever[cli]"',
    "no click": 'oss-vectors needs an extra: pip install "oss-vector-retriever[cli]"',
    "no click list-vectors": 'oss-vectors needs an extra: pip install "oss-vector-retriever[cli]"',
    "no click studio": 'oss-vectors needs an extra: pip install "oss-vector-retriever[studio,cli]"',
    "no click mcp": 'oss-vectors needs an extra: pip install "oss-vector-retriever[mcp]"',
    "no click serve": "oss-vectors needs an extra: "
    'pip install "oss-vector-retriever[emulator,cli]"',
}


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    path = tmp_path_factory.mktemp("extras")
    (path / "x.parquet").write_bytes(b"")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path / "x.db")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=path,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("what", EXPECTED)
def test_what_is_missing_is_named_with_how_to_install_it(said, what):
    assert said[what] == EXPECTED[what]


# Every name of every door, and who needs what

LIBRARIES = """
    alibabacloud_credentials click filelock h11 httpx2 jinja2 jmespath langchain langchain_core
    langgraph llama_index mcp numpy pandas polars pyarrow pytest ray rich starlette uvicorn yaml
"""
WALK = """
import importlib, json, sys

hidden = set(sys.argv[1].split())

class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, *rest):
        return None if name.partition(".")[0] in hidden else self.finder.find_spec(name, *rest)
    def __getattr__(self, name):  # what finds metadata of distributions
        return getattr(self.finder, name)

sys.meta_path[:] = map(Without, sys.meta_path)
said = {}
for door in sys.argv[2:]:
    try:
        package = importlib.import_module(door)
    except ImportError as error:
        said[door, ""] = str(error)
        continue
    for name in package.__all__:
        try:
            getattr(package, name)
        except ImportError as error:
            said[door, name] = str(error)
print(json.dumps([[*where, text] for where, text in said.items()]))
"""
EXTRAS = {"llama_index": "llama-index"}


def walk(hidden):
    doors = setting_of_docs("DOORS")
    done = subprocess.run(
        [sys.executable, "-c", WALK, hidden, *doors],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def expected(door, name):
    """Return the end of what a name of a door says of any library that it lacks."""
    own = door.rpartition(".")[2]
    if not name:  # the door itself: embeddings, to which no extra belongs
        return f"{door} needs numpy: pip install numpy"
    return f': pip install "oss-vector-retriever[{EXTRAS.get(own, own)}]"'


def check_all(found):
    for door, name, text in found:
        assert text.endswith(expected(door, name)), (door, name, text)
        assert text.startswith(f"{door}.{name}".rstrip(".") + " needs "), text


def test_every_name_that_lacks_something_names_its_extra():
    found = walk(LIBRARIES)
    check_all(found)
    # nothing is needed for the client, the records and the service in this process
    assert {door.rpartition(".")[2] for door, _, _ in found} >= {
        *("embeddings", "emulator", "langchain", "langgraph", "llama_index", "studio", "testing")
    }
    assert [name for door, name, _ in found if door.endswith(".emulator")] == ["Server"]
    assert not {"oss_vector_retriever", "oss_vector_retriever.records"} & {one[0] for one in found}


# jinja2 is core's own, which ends half loaded without it, whatever we say of our part
@pytest.mark.parametrize("library", sized(["numpy"], LIBRARIES.replace("jinja2", "").split()))
def test_so_it_is_with_one_library_missing(library):
    check_all(walk(library))
