"""The demo's corpus: CPython's language-reference topics and their stored embeddings."""
