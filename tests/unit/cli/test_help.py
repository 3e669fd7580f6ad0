"""The way in: help, names that are nearly right, and completion."""

import pytest
from support.command_line import call

from oss_vector_retriever.cli.arguments import CONNECTION
from oss_vector_retriever.cli.catalogue import SECTIONS

NAMES = [entry.name for entries in SECTIONS.values() for entry in entries]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("get-vector", "get-vectors or "),
        ("get_vectors", "get-vectors?"),
        ("GetVectors", "get-vectors?"),
        ("getVectors", "get-vectors?"),
        ("ls", "list-vectors?"),
        ("query", "query-vectors?"),
        ("exprot", "export?"),
        ("list-indexes", "list-vector-indexes"),
    ],
)
def test_a_command_that_is_nearly_right_is_named(word, meant):
    done = call(word)
    assert done.status == 2
    assert f"did you mean {meant}" in done.errors


def test_within_a_group_it_is_the_groups_commands_that_are_named():
    assert "did you mean get-vectors" in call("vectors-api", "get-vector").errors
    assert "did you mean" not in call("vectors-api", "doctor").errors


def test_what_is_like_nothing_is_told_so():
    done = call("frobnicate")
    assert "No such command 'frobnicate'." in done.errors
    assert "did you mean" not in done.errors


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_both_habits_ask_for_help(flag):
    for words in ((), ("get-vectors",), ("vectors-api", "get-vectors"), ("import",)):
        done = call(*words, flag)
        assert done.status == 0
        assert done.output.startswith("Usage: ")


@pytest.mark.parametrize("name", NAMES)
def test_where_the_service_is_stands_last(name):
    text = call(name, "--help").output
    if "--endpoint" not in text:
        assert "Connection:" not in text
        return
    own, connection = text.split("\nConnection:\n")
    # `import` and `policy` have words of their own for some
    shown = [flag.opts[0] for flag in CONNECTION if not flag.hidden and flag.opts[0] in connection]
    assert len(shown) >= 5
    assert not [flag for flag in shown if f"\n  {flag} " in own]
    assert "Options:" in own
    assert "--help" in own
    if "--output-query" in own:
        assert own.index("Options:") < own.index("Output:") < own.index("--output-query")


@pytest.mark.parametrize(
    ("shell", "said"),
    [("bash", "complete -o nosort"), ("zsh", "#compdef oss-vectors"), ("fish", "complete --no-")],
)
def test_completion_is_printed_for_each_shell(shell, said):
    done = call("completion", shell)
    assert done.status == 0
    assert said in done.output
    assert "_OSS_VECTORS_COMPLETE" in done.output


def test_completion_says_where_it_goes_and_for_what_it_is_not():
    assert "~/.bashrc" in call("completion", "--help").output
    assert "'bash', 'zsh', 'fish'" in call("completion", "tcsh").errors


@pytest.mark.parametrize("command", ["get-vectors", "delete-vectors"])
def test_a_bare_key_is_told_the_flag(command):
    assert "unexpected extra argument (a); keys go to --keys." in call(command, "a").errors
    assert "--keys" not in call("list-vectors", "a").errors.partition("Error")[2]
