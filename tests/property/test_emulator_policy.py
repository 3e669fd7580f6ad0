"""Wildcards of policies against a second matcher that counts every way through a pattern."""

import random
import time
from functools import cache

from oss_vector_retriever.emulator import AccessKey
from oss_vector_retriever.emulator.rules.policy import Statement

KEY = AccessKey("id", "secret", "1")


def second_opinion(pattern, name):
    """Match the slow way: a star stands for nothing, or for one character and itself again."""

    @cache
    def holds(at, place):
        if at == len(pattern):
            return place == len(name)
        if pattern[at] == "*":
            return holds(at + 1, place) or (place < len(name) and holds(at, place + 1))
        return place < len(name) and pattern[at] in ("?", name[place]) and holds(at + 1, place + 1)

    return holds(0, 0)


def covers(pattern, name):
    return Statement(False, ("*",), ("*",), (pattern,)).covers(KEY, "GetVectors", name, "1")


def test_a_pattern_covers_what_a_second_matcher_says_it_does():
    number = random.randrange(1 << 32)
    print(f"\nseed {number}")  # noqa: T201 - to repeat a failure
    rng = random.Random(number)
    found = {True: 0, False: 0}
    for _ in range(20_000):
        # Two letters and what means something in a regular expression: near misses are common.
        name = "".join(rng.choices("ab.\n", (8, 8, 1, 1), k=rng.randrange(12)))
        pattern = "".join(rng.choices("ab*?.[", (5, 5, 6, 3, 1, 0.2), k=rng.randrange(10)))
        assert covers(pattern, name) is second_opinion(pattern, name), (number, pattern, name)
        found[covers(pattern, name)] += 1
    assert min(found.values()) > 1000


def test_thirty_stars_take_no_time_on_the_longest_name():
    name = f"acs:ossvector:cn-hangzhou:1000000000000001:{'b' * 32}/{'a' * 63}/*"
    stars = (30, 60)
    patterns = [f"{part * count}{end}" for count in stars for part in ("*a", "*?", "*a?", "*")
                for end in ("*b", "b", "*c", "?")]  # fmt: skip
    started = time.process_time()
    outcomes = [covers(pattern, name) for pattern in patterns]
    assert time.process_time() - started < 1
    assert outcomes == [second_opinion(pattern, name) for pattern in patterns]


def test_a_pattern_as_long_as_a_body_takes_no_time():
    started = time.process_time()
    assert not covers("a" * 1_000_000, "a")
    assert not covers("*a" * 500_000, "a" * 63)
    assert covers("*" * 1_000_000, "a" * 63)
    assert time.process_time() - started < 1
