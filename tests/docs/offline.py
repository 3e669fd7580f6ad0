"""Run an example's script, then its notebook, in this process, with no way to another machine.

    python tests/docs/offline.py examples/<topic>/main.py notebooks/<name>.ipynb

The notebook's cells run as they do when it is built; their outputs are printed as JSON.
"""

import asyncio
import ipaddress
import json
import runpy
import sys
from pathlib import Path

BETWEEN = "-- the notebook --"


def main(script: str, notebook: str) -> None:
    sys.addaudithook(refuse_other_machines)
    sys.argv = [script]
    runpy.run_path(script, run_name="__main__")
    sys.stdout.write(f"{BETWEEN}\n")
    if "matplotlib.pyplot" in sys.modules:  # what the script has drawn is no output of a cell
        sys.modules["matplotlib.pyplot"].close("all")
    build = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "build_notebooks.py"))
    executed = json.loads(Path(notebook).read_text("utf-8"))
    asyncio.run(build["execute"](executed, Path(notebook).name))
    json.dump(executed, sys.stdout)


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
