"""Make the notebooks from the examples: what both say is written once, in the script.

    python examples/build_notebooks.py

A script is cut into cells at its lines `# %%`, and `# %% [markdown]` where text follows. A notebook
has an event loop of its own: `asyncio.run(...)` becomes `await ...` there. Nothing runs here, and
notebooks are kept without outputs.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parent
NOTEBOOKS = EXAMPLES.parent / "notebooks"
NAMES = {
    "quick_start_langchain": "langchain_quick_start",
    "rag_with_parents": "langchain_rag_with_parents",
    "agent_fetch_langchain": "langchain_agent",
    "rerank_with_stored_embeddings": "reranking_with_stored_embeddings",
    "quick_start_llama_index": "llama_index_quick_start",
    "auto_merging": "llama_index_auto_merging",
    "agent_fetch_llama_index": "llama_index_agent",
    "ingestion_reuse": "llama_index_ingestion",
}

CELL = re.compile(r"^# %%(?P<markdown> \[markdown\])?\n", re.MULTILINE)
OWN_LOOP = re.compile(r"asyncio\.run\((.*)\)$", re.MULTILINE)


def main() -> None:
    """Write every notebook."""
    NOTEBOOKS.mkdir(exist_ok=True)
    for example, name in NAMES.items():
        path = NOTEBOOKS / f"{name}.ipynb"
        path.write_text(notebook((EXAMPLES / example / "main.py").read_text("utf-8")), "utf-8")
        print(path.relative_to(EXAMPLES.parent))


def notebook(script: str) -> str:
    """Return the text of the notebook of a script."""
    python = {"display_name": "Python 3", "language": "python", "name": "python3"}
    content = {
        "cells": list(cells(script)),
        "metadata": {"kernelspec": python, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def cells(script: str) -> Iterator[dict[str, Any]]:
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


if __name__ == "__main__":
    main()
