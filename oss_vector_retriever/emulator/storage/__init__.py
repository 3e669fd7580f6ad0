"""Storage: buckets, indexes and vectors in SQLite, one file or memory.

`Database` gives out transactions; the other modules hold one table each.
"""
