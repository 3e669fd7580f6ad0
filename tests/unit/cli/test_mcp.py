"""`oss-vectors mcp` before it serves: what it says at its start, and what it refuses."""

import sys

import pytest
from support.command_line import call

SERVED = "oss_vector_retriever.mcp.server"


@pytest.fixture
def without(monkeypatch):
    """Give a function that takes a package away from imports."""

    def take(*names):
        for name in names:
            monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, SERVED, raising=False)
        monkeypatch.delitem(sys.modules, "oss_vector_retriever.mcp.http", raising=False)

    return take


def test_without_the_library_the_extra_is_named(stored, without):
    without("mcp", "mcp.server", "mcp.server.streamable_http_manager")
    done = call("mcp", "--transport", "http", *stored)
    assert done.status == 2
    assert 'pip install "oss-vector-retriever[mcp]"' in done.errors


def test_help_needs_no_library(without):
    without("mcp")
    done = call("mcp", "--help")
    assert done.status == 0
    assert "OSS_VECTORS_MCP_EMBEDDINGS" in done.output


def test_without_langchain_embeddings_say_what_to_install(stored, without):
    without("langchain", "langchain.embeddings")
    done = call("mcp", "--transport", "http", *stored, "--embeddings", "openai:x")
    assert done.status == 2
    assert "pip install langchain langchain-openai" in done.errors.replace("\n", " ")


@pytest.mark.parametrize(
    ("name", "said"),
    [("nobody:model", "nobody"), ("model", "provider"), ("cohere:embed", "langchain-cohere")],
)
def test_embeddings_that_cannot_be_opened_are_refused_in_langchains_words(stored, name, said):
    pytest.importorskip("langchain.embeddings")
    done = call("mcp", "--transport", "http", *stored, "--embeddings", name)
    assert done.status == 2
    assert "--embeddings" in done.errors
    assert said in done.errors.replace("_", "-")  # older releases name the module


def test_what_a_provider_says_of_its_key_is_not_shown(stored, monkeypatch):
    embeddings = pytest.importorskip("langchain.embeddings")

    def fail(_):
        raise RuntimeError("Incorrect API key provided: sk-canary")

    monkeypatch.setattr(embeddings, "init_embeddings", fail)
    done = call("mcp", "--transport", "http", *stored, "--embeddings", "openai:x")
    assert done.status == 2
    assert "(RuntimeError)" in done.errors
    assert "canary" not in done.errors


def test_a_token_is_refused_on_the_command_line_and_not_shown(stored):
    done = call("mcp", "--transport", "http", *stored, "--token", "canary-0123456789abcdef")
    assert done.status == 2
    assert "OSS_VECTORS_MCP_TOKEN" in done.errors
    assert "canary" not in done.errors


@pytest.mark.parametrize("token", ["short", "two words of some length", "caf\u00e9-0123456789abc"])
def test_a_token_that_can_be_none_is_refused_and_not_shown(stored, tmp_path, monkeypatch, token):
    pytest.importorskip("mcp")
    (tmp_path / "token").write_text(token + "\n")
    files = ("--token-file", tmp_path / "token")
    monkeypatch.setenv("OSS_VECTORS_MCP_TOKEN", token)
    for words in (files, ()):
        done = call("mcp", "--transport", "http", *stored, *words)
        assert done.status == 2
        assert "16 characters or more" in done.errors
        assert token not in done.errors


def test_a_token_file_that_cannot_be_read_is_named(stored):
    done = call("mcp", "--transport", "http", *stored, "--token-file", "/no/file")
    assert done.status == 2
    assert "/no/file cannot be read" in done.errors
