"""Make the notebooks from the examples: what both say is written once, in the script.

    python examples/build_notebooks.py [EXAMPLE ...]

A script is cut into cells at its lines `# %%`, and `# %% [markdown]` where text follows. A notebook
has an event loop of its own: `asyncio.run(...)` becomes `await ...` there. The cells are executed
without Jupyter, each notebook in a process of its own, and what they print and draw is kept. The
tests execute them again and compare. A picture that a page shows is written into docs/images.
"""

import ast
import asyncio
import base64
import contextlib
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from inspect import CO_COROUTINE
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parent
NOTEBOOKS = EXAMPLES.parent / "notebooks"
IMAGES = EXAMPLES.parent / "docs" / "images"
NAMES = {
    "quick_start": "quick_start",
    "quick_start_langchain": "langchain_quick_start",
    "rag_with_parents": "langchain_rag_with_parents",
    "agent_fetch_langchain": "langchain_agent",
    "quick_start_llama_index": "llama_index_quick_start",
    "auto_merging": "llama_index_auto_merging",
    "agent_fetch_llama_index": "llama_index_agent",
    "ingestion_reuse": "llama_index_ingestion",
    "stored_embeddings": "stored_embeddings",
    "operating": "operating",
}
# The pictures that docs/notebooks.md shows: which of its notebook's.
PICTURES = {"stored_embeddings": {"notebook-map.png": 0}}

CELL = re.compile(r"^# %%(?P<markdown> \[markdown\])?\n", re.MULTILINE)
OWN_LOOP = re.compile(r"asyncio\.run\((.*)\)$", re.MULTILINE)
DOTS_PER_INCH = 110

Cell = dict[str, Any]
Notebook = dict[str, Any]


def main(examples: list[str]) -> None:
    """Write the notebook of one example, or those of several or all."""
    if len(examples) == 1:
        build(examples[0])
        return
    for example in examples or NAMES:
        # what one notebook leaves in the frameworks' globals must not be seen by the next
        command = [sys.executable, __file__, example]
        subprocess.run(command, check=True, env={**os.environ, "MPLBACKEND": "agg"})


def build(example: str) -> None:
    """Execute the cells of one example and write its notebook, and its pictures for the pages."""
    made = notebook((EXAMPLES / example / "main.py").read_text("utf-8"))
    asyncio.run(execute(made, example))
    path = NOTEBOOKS / f"{NAMES[example]}.ipynb"
    path.write_text(text_of(made), "utf-8")
    drawn = pictures(made)
    for name, position in PICTURES.get(example, {}).items():
        (IMAGES / name).write_bytes(drawn[position])
    print(path.relative_to(EXAMPLES.parent))


def notebook(script: str) -> Notebook:
    """Return the notebook of a script, without outputs."""
    python = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": list(cells(script)),
        "metadata": {"kernelspec": python, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def text_of(made: Notebook) -> str:
    """Return a notebook as its file has it."""
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def pictures(made: Notebook) -> list[bytes]:
    """Return the PNG pictures among a notebook's outputs, in order."""
    outputs = (output for cell in made["cells"] for output in cell.get("outputs", ()))
    kept = (output.get("data", {}).get("image/png") for output in outputs)
    return [base64.b64decode(picture) for picture in kept if picture]


def cells(script: str) -> Iterator[Cell]:
    """Yield the cells of a script, in order."""
    _, *parts = CELL.split(script)
    for number, (markdown, text) in enumerate(zip(parts[::2], parts[1::2], strict=True)):
        source = prose(text) if markdown else code(text)
        kind = "markdown" if markdown else "code"
        name = hashlib.sha256(f"{number} {source}".encode()).hexdigest()[:12]
        cell = {"cell_type": kind, "id": name, "metadata": {}}
        of_code = {} if markdown else {"execution_count": None, "outputs": []}
        yield {**cell, **of_code, "source": source.splitlines(keepends=True)}


def prose(text: str) -> str:
    """Return text without the script's comment signs."""
    return re.sub(r"^# ?", "", text, flags=re.MULTILINE).strip()


def code(text: str) -> str:
    """Return code as it is in a notebook."""
    awaited = OWN_LOOP.sub(r"await \1", text)
    return awaited.replace("import asyncio\n", "").strip()


async def execute(made: Notebook, name: str) -> None:
    """Execute the cells one after the other, as Jupyter does, and keep what they print and draw.

    They run in a namespace of their own, as `__main__`, inside the running event loop.
    """
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    code_cells = [cell for cell in made["cells"] if cell["cell_type"] == "code"]
    for count, cell in enumerate(code_cells, 1):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            value = await run_cell("".join(cell["source"]), f"{name}, cell {count}", module)
        cell["execution_count"] = count
        cell["outputs"] = [*stream(printed.getvalue()), *figures(), *result(value, count)]


async def run_cell(source: str, name: str, module: types.ModuleType) -> Any:
    """Run a cell; return the value of the expression that it ends with, if it ends with one."""
    tree = ast.parse(source, name)
    ends_with_expression = bool(tree.body) and isinstance(tree.body[-1], ast.Expr)
    last = ast.Expression(tree.body.pop().value) if ends_with_expression else None  # type: ignore[attr-defined]
    value = None
    for part, mode in ((tree, "exec"), (last, "eval")):
        if part is not None:
            value = await run_compiled(part, name, mode, module)
    return value


async def run_compiled(
    part: ast.Module | ast.Expression, name: str, mode: str, module: types.ModuleType
) -> Any:
    """Run statements or an expression; `await` may stand in them."""
    compiled = compile(part, name, mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    value = eval(compiled, module.__dict__)
    return await value if compiled.co_flags & CO_COROUTINE else value


def stream(printed: str) -> list[dict[str, Any]]:
    """Return what was printed as outputs of a cell: one, or none."""
    lines = printed.splitlines(keepends=True)
    return [{"name": "stdout", "output_type": "stream", "text": lines}] if lines else []


def figures() -> list[dict[str, Any]]:
    """Return the figures that were drawn as outputs of a cell, and close them."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return []
    drawn = [picture_output(pyplot.figure(number)) for number in pyplot.get_fignums()]
    pyplot.close("all")
    return drawn


def picture_output(figure: Any) -> dict[str, Any]:
    """Return a figure as an output, of the size in pixels that its size in inches says."""
    saved = io.BytesIO()
    # no version of matplotlib in the file, so that the same picture is the same bytes
    figure.savefig(saved, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    data = {
        "image/png": base64.b64encode(saved.getvalue()).decode(),
        "text/plain": [f"{figure!s}".replace("Figure(", "<Figure size ").replace(")", ">")],
    }
    return {"data": data, "metadata": {}, "output_type": "display_data"}


def result(value: object, count: int) -> list[dict[str, Any]]:
    """Return the value that a cell ends with as outputs of it: one, or none where it is None."""
    if value is None:
        return []
    data = {"text/plain": repr(value).splitlines(keepends=True)}
    as_html = getattr(value, "_repr_html_", None)
    if as_html is not None:
        data["text/html"] = as_html().splitlines(keepends=True)
    output = {"data": data, "execution_count": count, "metadata": {}}
    return [{**output, "output_type": "execute_result"}]


if __name__ == "__main__":
    main(sys.argv[1:])
