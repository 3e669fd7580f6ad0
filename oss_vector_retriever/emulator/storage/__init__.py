"""Storage: buckets, indexes and vectors in SQLite, one file or memory.

`Database` gives out transactions; the modules beside it hold one table each.
"""
