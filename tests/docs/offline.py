"""Run examples, each script and then its notebook, in this process, with no way to another machine.

    python tests/docs/offline.py (examples/<topic>/main.py notebooks/<name>.ipynb)...

A notebook's cells run as they do when it is built. What each script has printed, and each notebook
with its outputs, is printed as JSON.
"""

import asyncio
import contextlib
import io
import ipaddress
import json
import runpy
import sys
from pathlib import Path

BUILD = Path(__file__).parents[2] / "examples" / "build_notebooks.py"


def main(*files: str) -> None:
    sys.addaudithook(refuse_other_machines)
    execute = runpy.run_path(str(BUILD))["execute"]
    done = []
    for script, path in zip(files[::2], files[1::2], strict=True):
        notebook = json.loads(Path(path).read_text("utf-8"))
        printed = run_script(script)
        asyncio.run(execute(notebook, Path(path).name))
        done.append({"printed": printed, "notebook": notebook})
    json.dump(done, sys.stdout)


def run_script(script):
    sys.argv = [script]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        runpy.run_path(script, run_name="__main__")
    if "matplotlib.pyplot" in sys.modules:  # what the script has drawn is no output of a cell
        sys.modules["matplotlib.pyplot"].close("all")
    return printed.getvalue()


def refuse_other_machines(event, arguments):
    if event in {"socket.connect", "socket.sendto", "socket.bind"}:
        host = arguments[1][0] if isinstance(arguments[1], tuple) else "localhost"
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if not is_loopback(host):
        raise PermissionError(f"an example reached for {host}")


def is_loopback(host):
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in {None, "", "localhost"}


if __name__ == "__main__":
    main(*sys.argv[1:])
