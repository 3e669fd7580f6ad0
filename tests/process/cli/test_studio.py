"""`oss-vectors studio`: the page over a file, as a process."""

import signal
import socket
import subprocess

import httpx
from support.command_line import COMMAND, call
from support.studio_page import OWN

from oss_vector_retriever import OSSVectorClient


def test_the_page_of_a_file_is_at_the_printed_address_and_the_file_is_let_go(stored):
    with subprocess.Popen(
        [COMMAND, "studio", "--port", "0", *stored[:2], "--text-key", "title"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline().startswith("# The page is at the address below")
        address, _, token = process.stdout.readline().strip().partition("#")
        path = f"{address}/b/development-bucket/notes/keys?keys=c%0Aa%2Cb"
        assert "locked" in httpx.get(path, headers=OWN).text
        shown = httpx.get(path, headers={**OWN, "X-Studio-Token": token}).text
        assert "2 of 2 found" in shown
        assert "[red]markup[/red]" in shown  # read as text, as --text-key says
        assert "text_key=&#39;title&#39;" in shown
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    with OSSVectorClient.local(stored[1], index="notes") as client:
        assert client.fetch(["c"]).missing == ()


def test_a_file_that_is_not_there_is_refused(tmp_path):
    done = call("studio", "--local", tmp_path / "none.db")
    assert done.status == 2
    assert "it is not there" in done.errors


def test_a_port_that_is_taken_is_said(stored):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = call("studio", *stored[:2], "--port", port)
    assert (done.status, done.output) == (2, "")
    assert f"cannot listen on 127.0.0.1:{port}" in done.errors
