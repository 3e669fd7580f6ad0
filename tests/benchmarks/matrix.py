"""What is measured: groups of contenders at the same work, and the rows drawn from them."""

import re
from dataclasses import dataclass

import runner
from runner import Contender, Group

CLIENT, FRAMEWORKS = "ours/client.py", "ours/frameworks.py"
OUR_BUILDING, BUILDING = "ours/building.py", "rivals/building.py"
EMBEDDED, STORES = "ours/embedded.py", "rivals/embedded.py"
SDK, FLOORS, S3 = "rivals/official_sdk.py", "rivals/floors.py", "rivals/s3_vectors.py"


@dataclass(frozen=True)
class Row:
    """One line of the table: what a contender took of one measure, in parts of another's.

    `ours` and `theirs` name contenders of the group, or are differences, "one - other". Without
    `theirs` it is no ratio: the most of `memory`, in MB. `target` is what it may be at most;
    `beside` is what the page says of `theirs` where its name does not.
    """

    name: str
    what: str
    group: str
    ours: str
    theirs: str = ""
    measure: str = "cpu"
    target: str = ""
    beside: str = ""


def slug(text):
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def ours(name, task="fetch", program=CLIENT, **job):
    return Contender(name, program, task, job)


HELP = (
    "import sys; from oss_vector_retriever.cli.main import main; sys.argv[1:] = ['--help']; main()"
)
IMPORT = "from oss_vector_retriever import OSSVectorClient"
MADE = "OSSVectorClient(bucket='abc', account_id='1', region='cn-hangzhou', credentials=('a', 'b'))"
BARE_CLICK = """
import click
commands = click.Group(commands={name: click.Command(name, help=f"Do the {name} thing.")
                                 for name in ("first", "second")}, help="Do something.")
commands(["--help"])
"""
PATHS = ("pure", "scan")
FILTERED = {"filter": {"n": {"$eq": "3"}}, "filter_after_ranking": False}
PURE, SCAN = ours("pure"), ours("scan", path="scan")
STREAMS = tuple(
    ours(name, task, path=path, options={"max_concurrency": connections})
    for name, task, path, connections in (
        ("8 connections, pure", "stream", "pure", 8),
        ("8 connections, scan", "stream", "scan", 8),
        ("16 connections, pure", "stream", "pure", 16),
        ("16 connections, scan", "stream", "scan", 16),
        ("8 connections, Arrow, pure", "stream arrow", "pure", 8),
        ("awaited, pure", "stream awaited", "pure", 16),
        ("awaited, scan", "stream awaited", "scan", 16),
    )
)
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
            rounds=(5, 15),
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
        rounds=(5, 15),
        alike=False,
    ),
    Group(
        "fetch-1",
        FETCHERS,
        {"index": "short", "keys": 1},
        {"dimension": 1024},
        calls=100,
        rounds=(5, 15),
    ),
    Group(
        "fetch-metadata",
        (PURE, OFFICIAL, POST),
        {"index": "short", "keys": 100, "data": False},
        {"dimension": 1024},
        calls=20,
        rounds=(5, 15),
    ),
    *(
        Group(
            f"fetch-{dimension}",
            (PURE, SCAN, OFFICIAL, POST),
            {"index": "short", "keys": 100},
            {"dimension": dimension},
            calls=5,
            rounds=(5, 15),
            quick=False,
        )
        for dimension in (128, 256, 4096)
    ),
    *(
        Group(
            f"far-{delay}",
            (
                ours("pure", options={"max_concurrency": 16}),
                ours("scan", path="scan", options={"max_concurrency": 16}),
                OFFICIAL,
            ),
            {"index": "short", "keys": 10_000},
            {"dimension": 256, "delay": delay / 1000},
            rounds=(4, 9) if delay == 20 else (3, 3),
            quick=delay == 20,
        )
        for delay in (20, 100)
    ),
    Group(
        "everything",
        (PURE, SCAN, OFFICIAL),
        {"index": "short", "keys": 100_000},
        {"dimension": 128},
        rounds=(3, 3),
        quick=False,
    ),
    *(
        Group(
            f"at-once-{count}",
            (
                ours("tasks", "fetch at once"),
                ours("threads", "fetch in threads"),
                Contender("official SDK, threads", SDK, "fetch in threads"),
                Contender("httpx2 POST, tasks", FLOORS, "post at once"),
            ),
            {"index": "short", "keys": count, "at_once": count},
            {"dimension": 1024, "delay": 0.02},
            calls=max(1, 40 // count),
            rounds=(5, 9) if count < 1000 else (3, 3),
            quick=count == 100,
        )
        for count in (1, 10, 100, 1000)
    ),
    Group(
        "documents-far",
        (
            ours("ours", "documents", FRAMEWORKS),
            ours("16 connections", "documents", FRAMEWORKS, options={"max_concurrency": 16}),
            Contender("AmazonS3Vectors", S3, "documents"),
        ),
        {"index": "documents", "keys": 1000},
        {"dimension": 1024, "delay": 0.02},
        rounds=(5, 15),
    ),
    Group(
        "documents",
        (ours("ours", "documents", FRAMEWORKS), Contender("AmazonS3Vectors", S3, "documents")),
        {"index": "documents", "keys": 100},
        {"dimension": 1024},
        calls=10,
        rounds=(5, 15),
    ),
    Group(
        "nodes",
        (
            ours("without floats", "nodes", FRAMEWORKS, data=False),
            *(ours(f"floats, {path}", "nodes", FRAMEWORKS, path=path) for path in PATHS),
            Contender("S3VectorStore", S3, "nodes"),
        ),
        {"index": "nodes", "keys": 100, "data": True},
        {"dimension": 1024},
        calls=10,
        rounds=(5, 15),
    ),
    Group(
        "nodes-floats",
        (
            ours("nodes without", "nodes", FRAMEWORKS, data=False),
            ours("records without", "fetch and list", FRAMEWORKS, data=False),
            *(ours(f"nodes, {path}", "nodes", FRAMEWORKS, path=path) for path in PATHS),
            *(ours(f"lists, {path}", "fetch and list", FRAMEWORKS, path=path) for path in PATHS),
        ),
        {"index": "nodes", "keys": 100, "data": True},
        {"dimension": 1024},
        calls=10,
        rounds=(5, 15),
        alike=False,
    ),
    Group(
        "stream-memory",
        STREAMS,
        {"index": "short", "keys": 100_000},
        {"dimension": 1024},
        rounds=(1, 1),
        alike=False,
        warm=False,
        smaller={"keys": 20_000},
    ),
    Group(
        "stream",
        (*STREAMS, *(ours(f"fetch, {path}", "fetch in parts", path=path) for path in PATHS)),
        {"index": "short", "keys": 20_000},
        {"dimension": 1024},
        rounds=(5, 5),
        smaller={"keys": 5_000},
    ),
    Group(
        "write",
        (ours("ours", "write"), Contender("official SDK", SDK, "write")),
        {"index": "written", "count": 500, "dimension": 1024},
        runner.EMBEDDED,
        rounds=(5, 15),
    ),
    *(
        Group(
            what,
            (ours("ours", what, OUR_BUILDING), Contender(rival, BUILDING, what)),
            {"keys": 1},
            rounds=(5, 15),
        )
        for what, rival in (("document", "Document(...)"), ("node", "TextNode(...)"))
    ),
    Group(
        "diversity",
        (
            ours("ours", "diversity", OUR_BUILDING),
            Contender("get_top_k_mmr_embeddings", BUILDING, "diversity"),
        ),
        {"count": 100, "dimension": 1536, "top": 20},
        rounds=(5, 15),
    ),
    Group(
        "lone",
        (
            ours("ours", "fetch beside a thread"),
            ours("coalesce=False", "fetch beside a thread", options={"coalesce": False}),
        ),
        {"index": "short", "keys": 1},
        {"dimension": 3},
        calls=200,
        rounds=(5, 15),
    ),
    Group(
        "help",
        (Contender("oss-vectors --help", code=HELP), Contender("bare click", code=BARE_CLICK)),
        rounds=(5, 15),
        alike=False,
    ),
    Group(
        "import",
        (
            Contender("httpx2, pydantic", code="import httpx2, pydantic"),
            Contender("ours", code=IMPORT),
            Contender("ours, a client made", code=f"{IMPORT}\n{MADE}"),
            Contender("official SDK", code="import alibabacloud_oss_v2.vectors"),
        ),
        rounds=(5, 15),
        alike=False,
    ),
    Group(
        "ingest",
        (
            *(ours(path, "ingest", EMBEDDED, path=path) for path in PATHS),
            Contender("json and packing", STORES, "json"),
            Contender("Qdrant in memory", STORES, "Qdrant ingest"),
            Contender("LanceDB", STORES, "LanceDB ingest"),
        ),
        {"count": 2000, "dimension": 1024},
        rounds=(4, 15),
    ),
    Group(
        "ingest-full",
        (
            *(ours(path, "ingest", EMBEDDED, path=path) for path in PATHS),
            ours("kept in a file", "ingest", EMBEDDED, kept=True),
            Contender("json and packing", STORES, "json"),
        ),
        {"count": 2000, "dimension": 1024, "lists": True},
        rounds=(4, 15),
        quick=False,
    ),
    Group(
        "search",
        (
            ours("first", "first query", EMBEDDED),
            ours("warm", "search", EMBEDDED),
            ours("filtered", "search", EMBEDDED, **FILTERED),
            ours("filtered after", "search", EMBEDDED, filter=FILTERED["filter"]),
            Contender("reading the file", STORES, "reading"),
            Contender("one product", STORES, "product"),
        ),
        {"count": 100_000, "dimension": 1024},
        calls=3,
        rounds=(5, 15),
        alike=False,
        smaller={"count": 20_000},
    ),
    Group(
        "search-rivals",
        (
            ours("warm", "search", EMBEDDED),
            Contender("LanceDB", STORES, "LanceDB search"),
            Contender("sqlite-vec", STORES, "sqlite-vec search"),
        ),
        {"count": 100_000, "dimension": 1024},
        rounds=(3, 7),
        quick=False,
    ),
    Group(
        "ingest-moto",
        (ours("ours", "ingest", EMBEDDED), Contender("moto through boto3", STORES, "moto ingest")),
        {"count": 200, "dimension": 1024},
        rounds=(3, 5),
        quick=False,
    ),
    Group(
        "local-documents",
        (
            ours("ours", "documents", EMBEDDED),
            Contender("Qdrant in memory", STORES, "Qdrant documents"),
        ),
        {"keys": 1000, "dimension": 1024},
        calls=20,
        rounds=(5, 15),
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
    # no way through httpx2 and orjson is shorter: nothing is signed, checked or packed
    Row(
        "fetch-short-post-sdk",
        "httpx2 POST + orjson, 100 x 1,024 with metadata, short numbers",
        "fetch-short",
        POST.name,
        OFFICIAL.name,
    ),
    Row("one-post-sdk", "httpx2 POST + orjson, 1 key", "fetch-1", POST.name, OFFICIAL.name),
    *(
        Row(
            f"fetch-short-{path}-awaited",
            f"`await fetch`, 100 x 1,024 with metadata, short numbers, {path}",
            "fetch-short",
            f"{path}, awaited",
            path,
            target="1.15",
            beside="`fetch`",
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
            beside="the same, short numbers",
        )
        for kind in ("zeros", "whole")
        for path in ("pure", "scan")
    ),
    *(
        Row(
            f"fetch-{kind}-time",
            f"`fetch`, 100 x 1,024 with metadata, {KINDS[kind]}, pure",
            f"fetch-{kind}",
            "pure",
            OFFICIAL.name,
            "wall",
        )
        for kind in ("short", "full")
    ),
    Row("one-sdk", "`fetch`, 1 key", "fetch-1", "pure", OFFICIAL.name, target="1/2.5"),
    Row("one-scan-sdk", "`fetch`, 1 key, scan", "fetch-1", "scan", OFFICIAL.name),
    Row("one-post", "`fetch`, 1 key", "fetch-1", "pure", POST.name),
    Row(
        "one-awaited",
        "`await fetch`, 1 key",
        "fetch-1",
        "pure, awaited",
        "pure",
        target="1.35",
        beside="`fetch`",
    ),
    Row("metadata-sdk", "`fetch`, metadata of 100 keys", "fetch-metadata", "pure", OFFICIAL.name),
    Row("metadata-post", "`fetch`, metadata of 100 keys", "fetch-metadata", "pure", POST.name),
    *(
        Row(
            f"dimension-{dimension}-{path}",
            f"`fetch`, 100 x {dimension:,} with metadata, {path}",
            f"fetch-{dimension}",
            path,
            OFFICIAL.name,
        )
        for dimension in (128, 256, 4096)
        for path in PATHS
    ),
    *(
        Row(
            f"far-{delay}-{path}",
            f"`fetch`, 10,000 x 256, {delay} ms away, 16 connections, {path}",
            f"far-{delay}",
            path,
            OFFICIAL.name,
            "wall",
            {(20, "pure"): "1/6", (20, "scan"): "1/8"}.get((delay, path), ""),
        )
        for delay in (20, 100)
        for path in PATHS
    ),
    *(
        Row(
            f"everything-{path}",
            f"`fetch`, 100,000 x 128, {path}",
            "everything",
            path,
            OFFICIAL.name,
        )
        for path in PATHS
    ),
    *(
        Row(
            f"at-once-{count}-{way}-{slug(rival)}",
            f"{count:,} fetches of 1 key at once, 20 ms away, {way}",
            f"at-once-{count}",
            way,
            rival,
        )
        for count in (1, 10, 100, 1000)
        for way, rival in (
            ("tasks", "httpx2 POST, tasks"),
            ("tasks", "official SDK, threads"),
            ("threads", "official SDK, threads"),
        )
    ),
    Row(
        "documents-far",
        "LangChain, `get_by_ids`, 1,000 Documents 20 ms away",
        "documents-far",
        "ours",
        "AmazonS3Vectors",
        "wall",
        "0.22",
    ),
    Row(
        "documents-far-16",
        "the same, 16 connections",
        "documents-far",
        "16 connections",
        "AmazonS3Vectors",
        "wall",
    ),
    Row(
        "documents",
        "LangChain, `get_by_ids`, 100 Documents",
        "documents",
        "ours",
        "AmazonS3Vectors",
    ),
    Row(
        "nodes",
        "LlamaIndex, `get_nodes`, 100 nodes without floats",
        "nodes",
        "without floats",
        "S3VectorStore",
        target="0.25",
    ),
    *(
        Row(
            f"nodes-floats-{path}",
            f"what 1,024 floats add to each of 100 nodes, {path}",
            "nodes-floats",
            f"nodes, {path} - nodes without",
            f"lists, {path} - records without",
            target="1",
            beside="what they add to `fetch`, with one `tolist()` each",
        )
        for path in PATHS
    ),
    *(
        Row(
            f"stream-memory-{slug(way)}",
            f"`stream` of {{keys:,}} x 1,024, {way}",
            "stream-memory",
            way,
            measure="memory",
            target=target,
        )
        for way, target in {
            "8 connections, pure": "48",
            "8 connections, scan": "48",
            "16 connections, pure": "80",
            "16 connections, scan": "48",
            "8 connections, Arrow, pure": "120",
            "awaited, pure": "32",
            "awaited, scan": "32",
        }.items()
    ),
    *(
        Row(
            f"stream-speed-{slug(contender.name)}",
            f"`stream` of {{keys:,}} x 1,024, {contender.name}",
            "stream",
            contender.name,
            f"fetch, {contender.job['path']}",
            target="1/0.95",
            beside="`fetch`, 10,000 at a time",
        )
        for contender in STREAMS
    ),
    Row(
        "write-sdk",
        "`put_vectors`, 500 x 1,024, to `oss-vectors serve`",
        "write",
        "ours",
        OFFICIAL.name,
    ),
    Row(
        "document",
        "LangChain, a Document from a fetched record",
        "document",
        "ours",
        "Document(...)",
    ),
    Row("node", "LlamaIndex, a node from a fetched record", "node", "ours", "TextNode(...)"),
    Row(
        "diversity",
        "MMR, 20 of 100 embeddings of 1,536 floats",
        "diversity",
        "ours",
        "get_top_k_mmr_embeddings",
    ),
    Row("lone", "`fetch`, 1 key, beside an idle thread", "lone", "ours", "coalesce=False"),
    Row("help", "`oss-vectors --help`", "help", "oss-vectors --help", "bare click"),
    Row("import", "`import` of the client", "import", "ours", "httpx2, pydantic", target="1.3"),
    Row(
        "import-made",
        "the same, and a client made",
        "import",
        "ours, a client made",
        "httpx2, pydantic",
    ),
    Row("import-sdk", "`import` of the client", "import", "ours", "official SDK"),
    *(
        Row(
            f"ingest-{path}",
            f"embedded: 2,000 x 1,024 put, {path}",
            "ingest",
            path,
            "json and packing",
            target={"pure": "1.6", "scan": "1.2"}[path],
        )
        for path in PATHS
    ),
    *(
        Row(f"ingest-{slug(rival)}", "embedded: 2,000 x 1,024 put, pure", "ingest", "pure", rival)
        for rival in ("Qdrant in memory", "LanceDB")
    ),
    Row("ingest-moto", "embedded: 200 x 1,024 put", "ingest-moto", "ours", "moto through boto3"),
    *(
        Row(
            f"ingest-full-{slug(way)}",
            f"embedded: 2,000 x 1,024 put, full digits, {way}",
            "ingest-full",
            way,
            "json and packing",
            target="1.2" if way == "scan" else "1.6",
        )
        for way in (*PATHS, "kept in a file")
    ),
    Row(
        "search-first",
        "embedded: first query of {count:,} x 1,024 after start",
        "search",
        "first",
        "reading the file",
        target="3",
    ),
    Row("search-warm", "embedded: a query, warm", "search", "warm", "one product", target="1.5"),
    Row(
        "search-filtered",
        "embedded: with a filter among all",
        "search",
        "filtered",
        "one product",
        target="2",
    ),
    Row(
        "search-filtered-warm",
        "embedded: with a filter among all",
        "search",
        "filtered",
        "warm",
        target="2",
        beside="without one",
    ),
    Row(
        "search-filtered-after",
        "embedded: a filter among the nearest",
        "search",
        "filtered after",
        "one product",
        target="2",
    ),
    *(
        Row(f"search-{slug(rival)}", "embedded: a query, warm", "search-rivals", "warm", rival)
        for rival in ("LanceDB", "sqlite-vec")
    ),
    Row(
        "local-documents",
        "embedded: LangChain, `get_by_ids`, 100 Documents",
        "local-documents",
        "ours",
        "Qdrant in memory",
        target="1.3",
    ),
]
