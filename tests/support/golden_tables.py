"""Tables that the command line prints, compared with files letter by letter.

`GOLDEN=write` writes the files anew; what has changed in them is then read, not believed.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

from rich.cells import cell_len

from oss_vector_retriever import Float32Array, OSSVectorClient, Vector
from oss_vector_retriever.emulator import ManualClock
from oss_vector_retriever.records import ENVELOPE_KEYS, encode

TABLES = Path(__file__).parents[1] / "golden" / "tables"
WIDTHS = (80, 120)
MOMENT = datetime(2026, 11, 26, 21, 40, 5, tzinfo=UTC)
POLICY = {
    "Version": "1",
    "Statement": [
        {"Effect": "Allow", "Action": ["oss:GetVectors"], "Principal": ["20000000000000001"],
         "Resource": ["acs:ossvector:cn-hangzhou:1000000000000001:development-bucket/*"]}
    ],
}  # fmt: skip
TEXT = "Solar panels turn sunlight into current. " * 9
VECTORS = [
    encode("docs/solar", [1, 0, 0.25], text=TEXT, metadata={"year": 2024, "tags": ["a", "中文"]},
           filterable=("year",)),
    Vector("docs/wind", Float32Array([0.9, 0.1, 0]), {"text": "Wind turbines.", "year": 2023}),
    Vector("plain", Float32Array([0, 1, 0.5]), {"title": "[red]no[/red]", "on": True}),
    Vector("bare", Float32Array([0.5, 0.5, 0.125])),
]  # fmt: skip
LONG = Vector(f"a-key/{'as-long-as-a-path/' * 4}of-a-file.txt", Float32Array([0, 1]), {"n": 1})


def make_notes(path):
    """Make the indexes in a file that the commands are about, all at one moment."""
    clock = ManualClock(MOMENT)
    with OSSVectorClient.local(path, index="notes", clock=clock) as client:
        client.put_vector_index(dimension=3, non_filterable_metadata_keys=ENVELOPE_KEYS)
        client.put_vectors(VECTORS)
        client.put_vector_index(index="longkeys", dimension=2, distance_metric="euclidean")
        client.put_vectors([LONG], index="longkeys")
        client.put_vector_index(
            index="anindexwhosenameisaslongasnamesmaybe", dimension=1536, distance_metric="cosine"
        )
        client.put_bucket_policy(POLICY)
        client.put_bucket_logging(target_bucket="logs", target_prefix="log-")


def check_golden(width, name, sections):
    """Compare texts with a file, or write it."""
    path = TABLES / f"{name}-{width}.txt"
    text = "\n".join(f"$ oss-vectors {line}\n{shown}" for line, shown in sections.items())
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text
    # a wide sign takes two columns
    too_wide = [one for one in text.splitlines() if cell_len(one) > width and one[:1] != "$"]
    assert too_wide == []
