"""The threads that run the calls of one fetch: as many as are offered work, and no more."""

import queue
import threading
import time

from oss_vector_retriever.client.transport.runner import Helpers

MOMENT = 0.05  # seconds; a thread that the system leaves alone between two steps
PATIENCE = 10


class SlowQueue(queue.SimpleQueue):
    """A queue whose readers are slow to go on with what they took."""

    def get(self, *arguments, **keywords):
        taken = super().get(*arguments, **keywords)
        time.sleep(MOMENT)
        return taken


def test_a_thread_that_has_just_taken_an_offer_does_not_count_as_idle():
    helpers = Helpers(limit=3)
    helpers._offers = SlowQueue()
    run(helpers, at_once=2)
    run(helpers, at_once=3)
    helpers.close(PATIENCE)


def test_threads_that_are_idle_are_used_before_others_start():
    helpers = Helpers(limit=8)
    run(helpers, at_once=3)
    while helpers._undone:
        time.sleep(0.001)
    run(helpers, at_once=3)
    assert len(helpers._threads) == 3
    helpers.close(PATIENCE)


def run(helpers, at_once):
    """Offer functions one after another that all end when so many run at once."""
    together = threading.Barrier(at_once + 1)
    for _ in range(at_once):
        helpers.offer([lambda: together.wait(PATIENCE)])
        time.sleep(MOMENT / at_once / 2)
    together.wait(PATIENCE)
