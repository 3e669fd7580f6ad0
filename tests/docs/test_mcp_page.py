"""What docs/mcp.md has people write into their hosts works: its JSON, and its Python for adapters.

The adapters are brought by `make mcp`; the rest of the page is run with the other pages.
"""

import json
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.mcp_sessions import TOOLS, call, import_or_skip, over_http, served
from support.pages import blocks, read_pages

from oss_vector_retriever import OSSVectorClient, emulator
from oss_vector_retriever.cli.commands.mcp import command
from oss_vector_retriever.cli.commands.policy import CLASSES
from oss_vector_retriever.mcp import OSSVectorMCPServer

PAGE = read_pages()["docs/mcp.md"]
HOST, REQUEST = [json.loads(code) for code in blocks(PAGE, "json")]


def test_a_hosts_configuration_has_flags_and_variables_that_the_command_knows():
    [server] = HOST["mcpServers"].values()
    assert server["command"] == "oss-vectors"
    assert server["args"][0] == "mcp"
    with command.make_context("mcp", server["args"][1:]) as context:
        assert context.params["title_field"] == "title"
        assert context.params["url_field"] == "url"
    known = {option.envvar for option in command.params if option.envvar}
    own = {name for name in server["env"] if name.startswith("OSS_VECTORS_MCP_")}
    assert own
    assert own <= known
    others = {"OSS_REGION", "OSS_ACCOUNT_ID", "OSS_VECTORS_BUCKET", "OSS_VECTORS_INDEX"}
    assert {*server["env"]} - own == others | {"OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET"}


def test_the_page_names_every_tool_and_every_flag_that_bounds_what_agents_see():
    assert all(f"| `{tool}` |" in PAGE for tool in TOOLS)
    named = {word.strip("`,.)") for word in PAGE.split() if word.startswith("`--")}
    flags = {flag for option in command.params for flag in option.opts}
    assert {name for name in named if name.startswith("--")} <= flags | {"--token-file"}
    bounds = ("prefix", "allow", "filter", "metadata-fields", "max-characters", "k", "max-ids")
    assert {f"--{name}" for name in bounds} <= named
    assert "mcp.OSSVectorMCPServer" in CLASSES
    defaults = {option.opts[0]: option.default for option in command.params}
    for flag, words in {
        "--max-characters": "`--max-characters` of one answer ({:,})",
        "--k": "`--k` results of a search ({})",
        "--max-ids": "`--max-ids` of one question ({})",
        "--scan": "`--scan` of them are listed ({:,})",
        "--port": "http://127.0.0.1:{}/mcp",
    }.items():
        assert words.format(defaults[flag]) in PAGE


async def test_what_the_responses_api_sends_is_answered_by_the_server():
    with OSSVectorClient.local(index="guide") as client:
        client.put_vector_index(dimension=2)
        client.put_vectors([{"key": "a", "data": [1, 2], "metadata": {"text": "A"}}])
        token = REQUEST["authorization"].replace(" ", "-") * 2
        async with served(OSSVectorMCPServer(client), token=token) as url:
            assert urlsplit(url).path == urlsplit(REQUEST["server_url"]).path
            async with over_http(url, token) as session:
                listed = [tool.name for tool in (await session.list_tools()).tools]
                assert {*REQUEST["allowed_tools"]} <= {*listed}
                assert (await call(session, "fetch", id="a")).structured["text"] == "A"


@pytest.mark.parametrize(
    ("module", "framework"),
    [("langchain_mcp_adapters", "langchain"), ("llama_index.tools.mcp", "llama-index")],
)
def test_the_adapters_python_runs(module, framework, tmp_path, monkeypatch, capsys):
    age = os.environ.get("OSS_VECTORS_NEED_MCP")
    if age is not None and (age == "1") is not (framework == "langchain"):
        pytest.skip(f"another environment of `make mcp` has {module}")
    import_or_skip(module)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    key = emulator.AccessKey("page-id", "page-secret", "123456")
    with (
        emulator.Service.in_memory(access_keys=[key]) as service,
        emulator.Server(service) as server,
    ):
        service.create_bucket("123456", "examplebucket")
        for name, value in {
            "OSS_ENDPOINT": server.endpoint,
            "OSS_ACCESS_KEY_ID": key.id,
            "OSS_ACCESS_KEY_SECRET": key.secret,
            "OSS_REGION": "cn-hangzhou",
            "OSS_ACCOUNT_ID": "123456",
            "OSS_VECTORS_BUCKET": "examplebucket",
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        [code] = [code for code in blocks(PAGE, "python", before=True) if module in code]
        exec(compile(code, "mcp.md", "exec"), {"__name__": "__page__"})
    assert capsys.readouterr().out.strip() == str(TOOLS)
