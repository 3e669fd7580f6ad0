"""What needs an extra that is not installed says which: all of it without them, in one process."""

import json
import subprocess
import sys

import pytest

# Modules are hidden as if they were not installed: neither found nor imported.
PROGRAM = """
import asyncio, contextlib, importlib.util, io, json, sys

HIDDEN = {"numpy", "uvicorn", "h11", "pyarrow", "rich", "pandas", "polars", "jinja2", "starlette"}
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
note("search", lambda: client.query_vectors([1, 2]))
note("embeddings", __import__, "oss_vector_retriever.embeddings")
note("server", lambda: emulator.Server)
client.close()  # a file is one process's, and there one client's
for words in ("export x.npy", "export x.parquet", "import x.parquet", "query-vectors --key a",
              "list-vectors --output-format table"):
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
