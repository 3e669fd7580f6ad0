"""What was measured, as JSON, as a page, and in README where it quotes them."""

import importlib.metadata
import json
import os
import platform
import re
import statistics
import textwrap
from datetime import UTC, datetime
from pathlib import Path

PACKAGES = (
    *("oss-vector-retriever", "oss-vector-scan", "httpx2", "httpcore2", "pydantic", "orjson"),
    *("numpy", "langchain-core", "llama-index-core", "alibabacloud-oss-v2", "langchain-aws"),
    *("boto3", "llama-index-vector-stores-s3", "qdrant-client", "lancedb", "sqlite-vec", "moto"),
)
# A ratio that a page quotes is a link to its row.
QUOTED = re.compile(r"\[([0-9.]+)\]\(((?:docs/)?benchmarks\.md)#([a-z0-9-]+)\)")
UNITS = {"cpu": "CPU", "wall": "time", "memory": "MB"}


def draw(row, taken, job):
    """Return a row of the table as data, from what the contenders of its group took at a job."""
    told = {
        "name": row.name,
        "what": row.what.format(**job),
        "beside": row.beside or row.theirs,
        "measure": row.measure,
        "target": row.target,
    }
    missing = [one.missing for name, one in taken.items() if one.missing and name in sides(row)]
    if missing:
        return {**told, "missing": missing[0], "reached": None}
    if not row.theirs:
        values = [value / 1e6 for value in figures(row.ours, taken, row.measure)]
        return {**told, **spread(values), "reached": verdict(max(values), row)}
    told |= spread(ratios(row, taken, row.measure))
    told |= {"cpu": spread(ratios(row, taken, "cpu"))["median"]}
    told |= {"wall": spread(ratios(row, taken, "wall"))["median"]}
    return {**told, "reached": verdict(told["median"], row)}


def sides(row):
    return [name for side in (row.ours, row.theirs) for name in side.split(" - ")]


def figures(side, taken, measure):
    """Return what a side took in each round; a side may be a difference."""
    first, *second = (taken[name].figures(measure) for name in side.split(" - "))
    return [one - other for one, other in zip(first, *second, strict=True)] if second else first


def ratios(row, taken, measure):
    mine, other = (figures(side, taken, measure) for side in (row.ours, row.theirs))
    return [one / rival for one, rival in zip(mine, other, strict=True)]


def spread(values):
    """Return the median and the quartiles; of fewer than four values, the least and the most."""
    if len(values) < 4:
        low, middle, high = min(values), statistics.median(values), max(values)
    else:
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": middle, "low": low, "high": high, "rounds": len(values)}


def verdict(value, row):
    return value <= as_number(row.target) if row.target else None


def as_number(target):
    over, _, under = target.partition("/")
    return float(over) / float(under or 1)


def describe(taken):
    """Return the figures of each contender of a group: medians, of memory the most."""
    told = {}
    for name, one in taken.items():
        if one.missing:
            told[name] = {"missing": one.missing}
            continue
        told[name] = {
            what: statistics.median(one.figures(what)) for what in ("cpu", "wall", "requests")
        }
        told[name]["memory"] = max(one.figures("memory"))
        told[name]["rounds"] = len(one.rounds)
    return told


def describe_machine():
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory() / 1e9),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: version for name in PACKAGES if (version := version_of(name))},
    }


def processor():
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


def memory():
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError):
        return 0


def version_of(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def shorten(value):
    """Return data whose fractions have six digits."""
    if isinstance(value, dict):
        return {name: shorten(one) for name, one in value.items()}
    if isinstance(value, list):
        return [shorten(one) for one in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def write_data(found):
    """Return what was found as JSON, a line for each row and each group."""
    parts = []
    for name, value in found.items():
        text = json.dumps(value)
        if name == "rows":
            text = "[\n" + ",\n".join(json.dumps(row) for row in value) + "\n]"
        elif name == "groups":
            lines = (f"{json.dumps(group)}: {json.dumps(took)}" for group, took in value.items())
            text = "{\n" + ",\n".join(lines) + "\n}"
        parts.append(f"{json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def today():
    return datetime.now(UTC).date().isoformat()


def line_of(row):
    """Return a row as cells of text."""
    if "missing" in row:
        return [
            row["what"],
            row["beside"],
            "",
            f"not measured: {row['missing']}",
            row["target"],
            "",
        ]
    wanted = {True: "reached", False: "**not reached**", None: ""}[row["reached"]]
    digits = 0 if row["measure"] == "memory" else 3 if row["median"] < 1 else 2
    figure = f"{row['median']:.{digits}f} ({row['low']:.{digits}f} to {row['high']:.{digits}f})"
    return [
        row["what"],
        row["beside"],
        UNITS[row["measure"]],
        figure,
        f"<= {row['target']}" * bool(row["target"]),
        wanted,
    ]


def write_page(found):
    """Return the page, in Markdown."""
    machine = found["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    place = (
        f"Measured on {found['date']} by `{found['command']}`: {machine['cores']} cores of "
        f"{machine['processor']}, {machine['memory_gb']} GB, {machine['system']}, "
        f"{machine['python']}; {packages}."
    )
    lines = [
        "# Benchmarks",
        "",
        *textwrap.wrap(place, 120, break_on_hyphens=False),
        "",
        *INTRODUCTION,
        "",
        "## Ratios",
        "",
        "| what | beside | of | ratio (quartiles) | target | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in found["rows"]:
        what, *cells = line_of(row)
        lines.append("| " + " | ".join([f'<a id="{row["name"]}"></a>{what}', *cells]) + " |")
    lines += ["", "## Figures", "", *FIGURES, ""]
    lines += ["| work | contender | CPU, ms | time, ms | memory, MB | requests | rounds |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- |"]
    for group, contenders in found["groups"].items():
        for name, took in contenders.items():
            if "missing" in took:
                cells = [f"not measured: {took['missing']}", "", "", "", ""]
            else:
                cells = [
                    f"{took['cpu'] * 1e3:.2f}",
                    f"{took['wall'] * 1e3:.2f}",
                    f"{took['memory'] / 1e6:.1f}",
                    f"{took['requests']:g}",
                    str(took["rounds"]),
                ]
            lines.append("| " + " | ".join([group, name, *cells]) + " |")
    return "\n".join(lines) + "\n"


INTRODUCTION = (
    "Each contender is a process of its own. They do the same work on the same service, another",
    "process, in alternation; a ratio is the median of those of each round, with its quartiles (of",
    "fewer than four rounds, the least and the most). CPU is that of the contender's process, user",
    "and system. `pure` reads replies in Python, `scan` by the compiled scan (`make fast`).",
    "",
    "Where `httpx2 POST + orjson` stands beside the SDK, that is what HTTP and JSON take by",
    "themselves: nothing is signed, checked or packed. A target below it is out of reach of what",
    "reads by orjson.",
)
FIGURES = (
    "Of one call, medians. Memory is the most above what the process had before its first call; of",
    "an import, all of it.",
)


def quote_in(text, rows):
    """Return a text whose ratios are those of the rows that they are links to."""
    figures = {row["name"]: row["median"] for row in rows if "median" in row}

    def quote(link):
        _, page, name = link.groups()
        return f"[{figures[name]:.2f}]({page}#{name})" if name in figures else link[0]

    return QUOTED.sub(quote, text)
