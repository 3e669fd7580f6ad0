"""What the metadata of a stored record may look like, and the text and metadata that it means."""

from __future__ import annotations

import itertools
import json
from typing import Any

from support.reply_shapes import ABSENT, Shape


def envelope(**members):
    return json.dumps({"v": 1, "metadata": {"n": 1}, **members})


def node(**members):
    return {"_node_content": json.dumps({"text": "x", **members})}


WHOLE = {"_record": envelope(), "_record_text": "x"}
# what stands under `metadata`, and the text and metadata of the record that it is
RECORDS = [
    Shape("absent", ABSENT, ("", {})),
    Shape("null", None, ("", {})),
    Shape("empty", {}, ("", {})),
    Shape("text", {"text": "x", "n": 1}, ("x", {"n": 1})),
    Shape("null text", {"text": None}, ("", {"text": None})),
    Shape("null text, content", {"text": None, "content": "y"}, ("y", {"text": None})),
    Shape("empty text", {"text": "", "content": "y"}, ("", {"content": "y"})),
    Shape("texts", {"text": ["a", "b"]}, ("a\nb", {"text": ["a", "b"]})),
    Shape("no texts", {"text": []}, ("", {"text": []})),
    Shape("null texts", {"text": [None]}, ("", {"text": [None]})),
    Shape("an object for text", {"text": {}}, ("", {"text": {}})),
    Shape("page content", {"page_content": "x", "l": []}, ("x", {"l": []})),
    Shape("an empty name", {"": "x"}, ("", {"": "x"})),
    Shape("null members", {"a": None, "b": {"c": None}}, ("", {"a": None, "b": {"c": None}})),
    Shape("envelope", WHOLE, ("x", {"n": 1})),
    Shape("envelope, other fields", {**WHOLE, "m": None}, ("x", {"n": 1, "m": None})),
    Shape("envelope, null node", {**WHOLE, "_record": envelope(node=None)}, ("x", {"n": 1})),
    Shape("envelope as an object", {"_record": {"v": 1, "metadata": {}}, "_record_text": "x"},
          ("x", {})),
    Shape("null envelope", {"_record": None, "_record_text": "x"},
          ("", {"_record": None, "_record_text": "x"})),
    Shape("empty envelope", {"_record": "", "_record_text": "x"}, refused="_record"),
    Shape("nothing in the envelope", {"_record": "{}", "_record_text": "x"}, refused="_record"),
    Shape("envelope of null", {"_record": "null", "_record_text": "x"}, refused="_record"),
    Shape("a number for the envelope", {"_record": 5, "_record_text": "x"}, refused="_record"),
    Shape("a list for the envelope", {"_record": [], "_record_text": "x"}, refused="_record"),
    Shape("null in the envelope", {**WHOLE, "_record": envelope(metadata=None)},
          refused="_record.metadata"),
    Shape("envelope of later", {**WHOLE, "_record": envelope(v=3)}, refused="_record"),
    Shape("no text", {"_record": envelope()}, refused="_record_text"),
    Shape("null for the text", {**WHOLE, "_record_text": None}, refused="_record_text"),
    Shape("a list for the text", {**WHOLE, "_record_text": []}, refused="_record_text"),
    Shape("node", node(metadata={"n": 1}), ("x", {"n": 1})),
    Shape("node, null metadata", node(metadata=None), ("x", {})),
    Shape("node, no metadata", node(), ("x", {})),
    Shape("node, null text", node(text=None), ("", {})),
    Shape("node, null type", {**node(), "_node_type": None}, ("x", {})),
    Shape("node, null source", {**node(), "doc_id": "None", "ref_doc_id": "None"}, ("x", {})),
    Shape("null node", {"_node_content": None, "text": "x"}, ("x", {"_node_content": None})),
    Shape("empty node", {"_node_content": ""}, refused="_node_content"),
    Shape("a list for the node", {"_node_content": "[]"}, refused="_node_content"),
    Shape("a number for the node", {"_node_content": 5}, refused="_node_content"),
    Shape("node, a list for metadata", node(metadata=[]), refused="_node_content.metadata"),
    Shape("node, a number for text", node(text=5), refused="_node_content.text"),
]  # fmt: skip
# of a node what LlamaIndex's classes judge: a node with this text, or an error of ours
ODD_NODES = [
    node(**{member: value})
    for member in (
        *("relationships", "id_", "class_name", "embedding", "start_char_idx", "mimetype"),
        *("excluded_embed_metadata_keys", "text_template", "metadata_separator", "hash"),
        *("text_resource", "image", "index_id", "obj", "later"),
    )
    for value in (None, "", {}, [], 5, True, {"1": None}, {"1": {"node_id": None}}, [None])
]
_NO_ITEMS: list[Any] = [None, "", 5, [], {}, [None]]
_LINK = {"node_id": "b"}
_LINKS = [_LINK, [_LINK], [], {}, None, "b", {"node_id": ""}, {"node_id": "x" * 2000},
          {"node_id": None}, {"node_id": "a"}]  # fmt: skip
# an item of memory, and rows of the key-value stores
ITEM = {
    "_row": "memory",
    "value": {"v": 1},
    "key": "k",
    "namespace": ["n"],
    "created_at": "2026-11-27T08:00:00+00:00",
    "updated_at": "2026-11-27T08:00:00+00:00",
}


def enveloped(metadata: dict[str, Any], text: str = "", **members: Any) -> dict[str, Any]:
    """Return what a record of this package has under `metadata`."""
    return {"_record": envelope(metadata=metadata, **members), "_record_text": text}


# what may be right or wrong to those who look closer: results, or errors of ours
ODD_RECORDS: list[Any] = [
    *ODD_NODES,
    *(node(relationships={kind: link}) for kind in "12345" for link in _LINKS),
    *(
        enveloped({}, "x", node={"class_name": "TextNode", "relationships": {kind: link}})
        for kind in "12345"
        for link in _LINKS
    ),
    *(
        enveloped({"_row": row, **more}, text)
        for row in ("bytes", "document", "embedding", None, 5, "")
        for more in ({}, {"_row_id": 5}, {"_row_id": None}, {"_row_id": []})
        for text in ("x", "eA==", "\u00e9")
    ),
    *(enveloped({**ITEM, name: value}) for name in ITEM for value in _NO_ITEMS),
    *(
        made
        for value in (*_NO_ITEMS, [1], "1", True, 1e300, -1, {"a": 1})
        for made in (enveloped({"n": value}, "x"), {"n": value, "text": "x"})
    ),
    *({"text": "x", "ref_doc_id": value, "doc_id": value} for value in (*_NO_ITEMS, "None", "d")),
    *({"text": "x", "_row": value} for value in (*_NO_ITEMS, "bytes")),
    *(
        {
            "OSSVECTORS-EMBED-SRC-CONTENT-TYPE": kind,
            "OSSVECTORS-EMBED-SRC-LOCATION": place,
            "OSSVECTORS-EMBED-SRC-CONTENT": content,
        }
        for kind, place, content in itertools.product(
            (None, "", "IMAGE", 5, []), (None, "", "s3://x", 5, []), (None, "x", [])
        )
    ),
]
