"""What is measured: groups of contenders at the same work, and the rows that are drawn from them."""

from dataclasses import dataclass

from runner import Contender, Group

CLIENT, FRAMEWORKS = "ours/client.py", "ours/frameworks.py"
SDK, FLOORS, S3 = "rivals/official_sdk.py", "rivals/floors.py", "rivals/s3_vectors.py"


@dataclass(frozen=True)
class Row:
    """One line of the table: what a contender took of one measure, in parts of another's.

    `ours` and `theirs` name contenders of the group, or are differences, "one - other". Without
    `theirs` it is no ratio: the most of `memory`, in MB. `target` is what it may be at most.
    """

    name: str
    what: str
    group: str
    ours: str
    theirs: str = ""
    measure: str = "cpu"
    target: str = ""


def ours(name, task="fetch", program=CLIENT, **job):
    return Contender(name, program, task, job)


PURE, SCAN = ours("pure"), ours("scan", path="scan")
PURE_AWAITED = ours("pure, awaited", "fetch awaited")
SCAN_AWAITED = ours("scan, awaited", "fetch awaited", path="scan")
OFFICIAL = Contender("official SDK", SDK, "fetch")
POST = Contender("httpx2 POST + orjson", FLOORS, "post")
RAW = Contender("raw socket + orjson", FLOORS, "raw")
FETCHERS = (PURE, SCAN, PURE_AWAITED, SCAN_AWAITED, OFFICIAL, POST, RAW)

GROUPS = [
    *(
        Group(
            f"fetch-{kind}",
            FETCHERS,
            {"index": kind, "keys": 100},
            {"dimension": 1024},
            calls=10,
            rounds=(9, 25),
        )
        for kind in ("short", "full", "whole", "zeros")
    ),
    Group(
        "fetch-kinds",
        tuple(
            ours(f"{path} {kind}", path=path, index=kind)
            for path in ("pure", "scan")
            for kind in ("short", "zeros", "whole")
        ),
        {"keys": 100},
        {"dimension": 1024},
        calls=10,
        rounds=(9, 25),
        alike=False,
    ),
    Group(
        "fetch-1",
        FETCHERS,
        {"index": "short", "keys": 1},
        {"dimension": 1024},
        calls=100,
        rounds=(9, 25),
    ),
]

KINDS = {
    "short": "short numbers",
    "full": "full digits",
    "whole": "whole numbers",
    "zeros": "a zero in each vector",
}
AGAINST_SDK = {("short", "pure"): "1/3.5", ("full", "pure"): "1/5"} | {
    ("short", "scan"): "1/5.5",
    ("full", "scan"): "1/9",
}

ROWS = [
    *(
        Row(
            f"fetch-{kind}-{path}-sdk",
            f"`fetch`, 100 x 1,024 with metadata, {KINDS[kind]}, {path}",
            f"fetch-{kind}",
            path,
            OFFICIAL.name,
            target=AGAINST_SDK.get((kind, path), ""),
        )
        for kind in KINDS
        for path in ("pure", "scan")
    ),
    *(
        Row(
            f"fetch-{kind}-{path}-post",
            f"`fetch`, 100 x 1,024 with metadata, {KINDS[kind]}, {path}",
            f"fetch-{kind}",
            path,
            POST.name,
            target={"pure": "1.25", "scan": "0.9"}[path],
        )
        for kind in ("short", "full")
        for path in ("pure", "scan")
    ),
    *(
        Row(
            f"fetch-short-{path}-raw",
            f"`fetch`, 100 x 1,024 with metadata, short numbers, {path}",
            "fetch-short",
            path,
            RAW.name,
        )
        for path in ("pure", "scan")
    ),
    *(
        Row(
            f"fetch-short-{path}-awaited",
            f"`await fetch`, 100 x 1,024 with metadata, short numbers, {path}",
            "fetch-short",
            f"{path}, awaited",
            path,
            target="1.15",
        )
        for path in ("pure", "scan")
    ),
    *(
        Row(
            f"kinds-{kind}-{path}",
            f"`fetch`, 100 x 1,024, {KINDS[kind]}, {path}",
            "fetch-kinds",
            f"{path} {kind}",
            f"{path} short",
            target="1.05",
        )
        for kind in ("zeros", "whole")
        for path in ("pure", "scan")
    ),
    Row("one-sdk", "`fetch`, 1 key", "fetch-1", "pure", OFFICIAL.name, target="1/2.5"),
    Row("one-scan-sdk", "`fetch`, 1 key, scan", "fetch-1", "scan", OFFICIAL.name),
    Row("one-post", "`fetch`, 1 key", "fetch-1", "pure", POST.name),
    Row("one-awaited", "`await fetch`, 1 key", "fetch-1", "pure, awaited", "pure", target="1.35"),
]
