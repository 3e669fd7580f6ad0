"""Pages that are made of the source when the site is built: `make docs`.

The reference has a page for each public class and function, and a page is drawn of the way that one
key takes through the package. README is the site's first page.
"""

import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
DOORS = {
    "oss_vector_retriever": "The client",
    "oss_vector_retriever.langchain": "LangChain",
    "oss_vector_retriever.langgraph": "LangGraph",
    "oss_vector_retriever.llama_index": "LlamaIndex",
    "oss_vector_retriever.embeddings": "Mathematics on embeddings",
    "oss_vector_retriever.records": "Records",
    "oss_vector_retriever.mcp": "MCP",
    "oss_vector_retriever.ray": "Ray",
    "oss_vector_retriever.emulator": "The embedded service",
    "oss_vector_retriever.emulator.faults": "Faults",
    "oss_vector_retriever.studio": "A page to look at records",
    "oss_vector_retriever.testing": "Suites for stores",
}
# Besides their own, the packages whose names examples in docstrings have.
PACKAGES_OF_EXAMPLES = ("oss_vector_retriever", "oss_vector_retriever.emulator")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of the reference into the navigation, a section for each package."""
    sections = [
        {title: [{name: page_of(door, name)} for name in public_names(door)]}
        for door, title in DOORS.items()
    ]
    config["nav"][-1] = {"Reference": sections}
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add what is made of the source."""
    pages = {
        page_of(door, name): reference(door, name) for door in DOORS for name in public_names(door)
    }
    pages["how-one-key-travels.md"] = draw_travels()
    pages["index.md"] = front_page()
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def public_names(door: str) -> list[str]:
    """Return the classes and functions that a package shows."""
    package = importlib.import_module(door)
    return [name for name in package.__all__ if callable(getattr(package, name))]


def page_of(door: str, name: str) -> str:
    """Return the path of a page of the reference."""
    return f"reference/{door.removeprefix('oss_vector_retriever').strip('.') or 'client'}/{name}.md"


def reference(door: str, name: str) -> str:
    """Return the text of a page of the reference."""
    told = inspect.getdoc(getattr(importlib.import_module(door), name)) or ""
    title = f"---\ntitle: {name}\ndescription: {told.splitlines()[0] if told else name}\n---\n\n"
    lines = "\n".join(imports_of(door, {name, *words_of_examples(told)}))
    return f"{title}```python\n{lines}\n```\n\n::: {door}.{name}\n"


def imports_of(door: str, used: set[str]) -> Iterator[str]:
    """Yield the lines that import names of a package's own, of the client's and the emulator's."""
    found: set[str] = set()
    for package in dict.fromkeys([door, *PACKAGES_OF_EXAMPLES]):
        names = used.intersection(importlib.import_module(package).__all__) - found
        found |= names
        if names:
            yield f"from {package} import {', '.join(sorted(names))}"


def words_of_examples(told: str) -> list[str]:
    """Return the words of the code in a docstring."""
    return re.findall(r"\w+", "\n".join(re.findall(r"^ *(?:>>>|\.\.\.) (.*)$", told, re.MULTILINE)))


def draw_travels() -> str:
    """Return the page on the way of one key, as `make house PATHS=1` finds it."""
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "house.py", "--paths"],
        capture_output=True,
        text=True,
        check=True,
    )
    walks = done.stdout.partition('\nclient.fetch(["a"])\n')[2]
    files, _, walk = walks.partition("\n\n")
    walk = walk.partition("\n\n")[0]
    rows = re.findall(r"^  (\S+\.py): (\d+) functions$", files, re.MULTILINE)
    table = "\n".join(f"| `{file}` | {first_line(file)} | {count} |" for file, count in rows)
    return f"""# How one key travels

This is what a second `client.fetch(["a"])` runs, seen from inside: each file in the order in which
it is reached, and then each call. Both are drawn by running it when this page is built.

| file of `oss_vector_retriever` | | functions |
|---|---|---|
{table}

A call is a generator, the *flow*, which yields what it wants done; a *runner* does it, blocking or
awaited. So what is decided stands once for `OSSVectorClient` and `AsyncOSSVectorClient`.

```text
{walk}
```
"""


def first_line(file: str) -> str:
    """Return what a file of the package says of itself."""
    text = (ROOT / "oss_vector_retriever" / file).read_text(encoding="utf-8")
    found = re.match(r'"""(.+?)(?:\n|""")', text)
    return found[1] if found else ""


def front_page() -> str:
    """Return README with its links as they are inside the site."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return text.replace("](docs/", "](").replace(
        "[CONTRIBUTING.md](CONTRIBUTING.md)", "CONTRIBUTING.md"
    )
