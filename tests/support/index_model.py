"""What an index should hold and answer, in plain Python."""

import math


class Index:
    """What an index should hold: vectors by key in the order of first writing."""

    def __init__(self, name):
        self.cosine = name == "cosine"
        self.vectors = {}

    def distance(self, query, key):
        data, _ = self.vectors[key]
        if not self.cosine:
            return math.dist(query, data)
        product = sum(one * other for one, other in zip(query, data, strict=True))
        return 1 - product / math.hypot(*query) / math.hypot(*data)

    def passing(self, condition):
        if not condition:
            return list(self.vectors)
        wanted = condition["a"]["$eq"]
        stored = {key: found.get("a", []) for key, (_, found) in self.vectors.items()}
        return [key for key, value in stored.items() if wanted == value or wanted in list(value)]


class Listing:
    """A listing under way: what it has shown, and which vectors have stayed since it began."""

    def __init__(self, name, keys):
        self.name = name
        self.token = None
        self.shown = []
        self.stayed = set(keys)
