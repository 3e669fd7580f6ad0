"""The demo corpus: nothing lost in splitting, a vector for every text, and plain reports."""

import json
import math
import random
import sys
from array import array
from pathlib import Path

import pytest

from oss_vector_retriever import corpus

ALPHABET = "ab é\u0301ß漢字🐍👩‍🔬\n"
DIMENSION = 384
METADATA_LIMIT = 40_000
KNOWN_PYTHON = sys.version_info[:2] <= (3, 13)


def random_text(source: random.Random) -> str:
    text = "".join(source.choices(ALPHABET, k=source.randint(0, 400)))
    separator = source.choice(["", "\n", "\n\n", "\r\n", "\n\n\n"])
    return separator.join(text[at : at + 40] for at in range(0, len(text), 40))


def vector(passage: corpus.Passage) -> list[float]:
    return array("f", passage.data).tolist()


def nearest(vectors: dict[str, list[float]], key: str) -> str:
    others = {other: math.dist(vectors[key], vectors[other]) for other in vectors if other != key}
    return min(others, key=others.__getitem__)


def write_files(folder: Path, description: object, packed: bytes) -> Path:
    (folder / "topics.json").write_text(json.dumps(description), "utf-8")
    (folder / "topics.f32").write_bytes(packed)
    return folder


def description(*keys: str) -> dict[str, object]:
    entries = [{"key": key, "sha256": "0"} for key in keys]
    return {"model": "m", "dimension": 2, "python": "3.11.7", "passages": entries}


def test_parts_of_each_topic_join_to_its_text() -> None:
    running = corpus.running_topics()
    joined = dict.fromkeys(running, "")
    for part in corpus.split_topics(running):
        joined[part.topic] += part.text
    assert joined == running


def test_parts_fit_the_service_even_as_escaped_json() -> None:
    for part in corpus.split_topics(corpus.running_topics()):
        assert 0 < len(part.text.encode()) <= corpus.PART_LIMIT
        twice = json.dumps(json.dumps(part.text, ensure_ascii=False), ensure_ascii=False)
        assert len(twice.encode()) < METADATA_LIMIT


@pytest.mark.skipif(not KNOWN_PYTHON, reason="the topics of this Python are not known")
def test_only_the_long_topics_are_split() -> None:
    parts = [part for part in corpus.split_topics(corpus.running_topics()) if "/" in part.key]
    counts = {part.topic: part.part.partition(" of ")[2] for part in parts}
    assert counts == {"specialnames": "3", "compound": "2", "types": "2"}


def test_keys_of_parts_are_numbered_in_order() -> None:
    parts = list(corpus.split_topics({"b": "x", "a": "1234\n\n5678\n\n9"}, 6))
    assert [part.key for part in parts] == ["a/1", "a/2", "a/3", "b"]
    assert [part.part for part in parts] == ["1 of 3", "2 of 3", "3 of 3", "1 of 1"]


def test_random_text_is_rejoined_exactly_and_never_over_the_limit() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - a failure must be repeatable
    source = random.Random(seed)
    for _ in range(2_000):
        text, limit = random_text(source), source.randint(4, 300)
        parts = corpus.split_text(text, limit)
        assert "".join(parts) == text
        # encode() is strict: half a code point could not pass it.
        assert all(len(part.encode()) <= limit for part in parts)
        assert all(parts) or not text


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        pytest.param("one\n\ntwo\nthree", 10, ["one\n\n", "two\nthree"], id="paragraph first"),
        pytest.param("one\ntwo three", 10, ["one\n", "two three"], id="then line"),
        pytest.param("abcdefgh", 5, ["abcd", "efgh"], id="then character, evenly"),
        pytest.param("🐍🐍🐍", 5, ["🐍", "🐍", "🐍"], id="code point whole"),
        pytest.param("é" * 4, 5, ["éé", "éé"], id="two-byte code point whole"),
        pytest.param("1\n\n2\n\n3\n\n4", 9, ["1\n\n2\n\n", "3\n\n4"], id="even shares"),
        pytest.param("ab\n\ncd\nefghij", 8, ["ab\n\ncd\n", "efghij"], id="line saves a part"),
        pytest.param("\n\nabcdefgh", 6, ["\n\nabc", "defgh"], id="no blank part"),
        pytest.param("", 4, [""], id="empty"),
    ],
)
def test_split_chooses_the_best_boundary(text: str, limit: int, expected: list[str]) -> None:
    assert corpus.split_text(text, limit) == expected


def test_limit_below_one_character_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 4 bytes, got 3"):
        corpus.split_text("abc", 3)


def test_every_passage_of_this_python_has_a_unit_vector() -> None:
    loaded = corpus.load_corpus()
    if KNOWN_PYTHON:
        assert loaded.without_vector == ()
    assert len(loaded.passages) >= 60
    for passage in loaded.passages:
        values = vector(passage)
        assert len(values) == DIMENSION
        assert all(map(math.isfinite, values))
        assert math.hypot(*values) == pytest.approx(1, abs=1e-5)


def test_vectors_are_in_the_rows_of_their_keys() -> None:
    vectors = {passage.key: vector(passage) for passage in corpus.load_passages()}
    assert nearest(vectors, "lambda") == "function"
    assert nearest(vectors, "floating") == "integers"
    assert nearest(vectors, "string-methods") == "strings"


def test_keys_are_unique_and_legal() -> None:
    keys = [passage.key for passage in corpus.load_passages()]
    assert len(keys) == len(set(keys))
    assert all(1 <= len(key) <= 1024 for key in keys)


def test_metadata_is_complete_and_text() -> None:
    passage = next(item for item in corpus.load_passages() if item.key == "specialnames/2")
    assert passage.metadata == {
        "topic": "specialnames",
        "title": "Special method names",
        "part": "2 of 3",
        "source": "pydoc_data.topics",
        "python": sys.version.split()[0],
        "embedded_from": "3.11.7",
        "text_changed": passage.metadata["text_changed"],
    }
    assert passage.metadata["text_changed"] in ("true", "false")


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ('\n\nThe "assert" statement\n****\n\nText', 'The "assert" statement'),
        ("****\n*Very* ``with`` **bold**\n****", "Very with bold"),
        ("2 ** 3 and 4 ** 5", "2 ** 3 and 4 ** 5"),
        ("----\n", "topic"),
    ],
)
def test_title_is_the_heading_without_markup(text: str, title: str) -> None:
    (part,) = corpus.split_topics({"topic": text})
    assert part.title == title


def test_unknown_topic_is_reported_not_dropped() -> None:
    loaded = corpus.load_corpus({"assert": "text", "brand-new": "text", "with": "w" * 40_000})
    assert [passage.key for passage in loaded.passages] == ["assert"]
    assert loaded.without_vector == ("brand-new", "with/1", "with/2")


def test_changed_text_is_flagged() -> None:
    running = corpus.running_topics()
    changed = corpus.load_corpus({"assert": running["assert"] + "."})
    assert changed.passages[0].metadata["text_changed"] == "true"


def test_text_that_was_embedded_is_not_flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    row = (corpus.text_digest("as embedded"), bytes(8))
    shipped = corpus.ShippedVectors("m", 2, "3.11.7", {"assert": row})
    monkeypatch.setattr(corpus, "load_shipped_vectors", lambda: shipped)
    (passage,) = corpus.load_corpus({"assert": "as embedded"}).passages
    assert passage.metadata["text_changed"] == "false"


def test_python_without_topics_names_cause_and_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(corpus.CorpusUnavailableError, match=r"no module pydoc_data\.topics.*com"):
        corpus.load_passages()


@pytest.mark.parametrize("order", ["little", "big"])
def test_rows_are_little_endian_on_disk(
    order: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path, description("a", "b"), bytes(range(16)))
    monkeypatch.setattr(sys, "byteorder", order)
    rows = corpus.load_shipped_vectors(tmp_path).rows
    expected = [4, 5, 6, 7] if order == "little" else [7, 6, 5, 4]
    assert list(rows["a"][1][4:]) == expected


@pytest.mark.parametrize("content", [[], {}, description("a", "b"), {"passages": None}])
def test_damaged_files_are_our_error(content: object, tmp_path: Path) -> None:
    write_files(tmp_path, content, bytes(12))
    with pytest.raises(corpus.CorpusUnavailableError, match="Install oss-vector-retriever again"):
        corpus.load_shipped_vectors(tmp_path)


def test_absent_files_are_our_error(tmp_path: Path) -> None:
    with pytest.raises(corpus.CorpusUnavailableError, match=r"topics\.json"):
        corpus.load_shipped_vectors(tmp_path)
