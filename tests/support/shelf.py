"""Indexes made straight in a database, for search without a service."""

import numpy as np

from oss_vector_retriever.emulator.storage import indexes, vectors
from oss_vector_retriever.emulator.storage.buckets import Namespace
from oss_vector_retriever.emulator.storage.buckets import create as create_bucket
from oss_vector_retriever.emulator.storage.database import Database


class Shelf:
    """Hold indexes made straight in a database."""

    def __init__(self):
        self.database = Database()
        with self.database.write() as db:
            create_bucket(db, Namespace("1", "r"), "b", 0)

    def fill(self, name, values, metric="euclidean", keys=None, filterable=None):
        values = np.asarray(values, dtype="<f4")
        keys = keys or [f"k{i:05}" for i in range(len(values))]
        texts = filterable or [None] * len(values)
        rows = [
            vectors.NewVector(key, i, None, text, row.tobytes())
            for i, (key, row, text) in enumerate(zip(keys, values, texts, strict=True))
        ]
        with self.database.write() as db:
            if indexes.find(db, 1, name) is None:
                shape = {"dimension": values.shape[1], "metric": metric}
                assert indexes.create(db, 1, name, **shape, created=0)
            index = indexes.find(db, 1, name)
            vectors.put(db, index.id, rows)
            indexes.note_write(db, index.id)

    def nearest(self, search, name, query, top_k=10, **options):
        packed = np.asarray(query, dtype="<f4").tobytes()
        with self.database.read() as db:
            return search.nearest(db, indexes.find(db, 1, name), packed, top_k, **options)
