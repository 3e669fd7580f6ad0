"""Run an example's script, then its notebook, in this process, with no way to another machine.

    python tests/docs/offline.py examples/<topic>/main.py notebooks/<name>.ipynb

A notebook's cells run in a namespace of their own and, as in Jupyter, inside a running event loop.
"""

import ast
import asyncio
import ipaddress
import json
import runpy
import sys
import types
from inspect import CO_COROUTINE
from pathlib import Path

BETWEEN = "-- the notebook --"


def main(script: str, notebook: str) -> None:
    sys.addaudithook(refuse_other_machines)
    sys.argv = [script]
    runpy.run_path(script, run_name="__main__")
    sys.stdout.write(f"{BETWEEN}\n")
    asyncio.run(run_notebook(Path(notebook)))


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


async def run_notebook(path):
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    for number, cell in enumerate(json.loads(path.read_text("utf-8"))["cells"]):
        if cell["cell_type"] == "code":
            name = f"{path.name}, cell {number}"
            await run_cell("".join(cell["source"]), name, module.__dict__)


async def run_cell(source, name, namespace):
    compiled = compile(source, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = eval(compiled, namespace)
    if compiled.co_flags & CO_COROUTINE:
        await running


if __name__ == "__main__":
    main(*sys.argv[1:])
