import threading
import time
from types import SimpleNamespace

import pytest

from oss_vector_retriever.emulator.storage.database import FairLock


class Line:
    """Start users of some turns one after another, and note the order in which they were served."""

    def __init__(self):
        self.turns = FairLock()
        self.served = []
        self.threads = []

    def enter(self, how, name):
        waiting = len(self.turns._readers) + len(self.turns._writers)

        def use():
            with getattr(self.turns, how)():
                self.served.append(name)

        self.threads.append(threading.Thread(target=use))
        self.threads[-1].start()
        while len(self.turns._readers) + len(self.turns._writers) == waiting:
            time.sleep(0.001)

    def join(self):
        for thread in self.threads:
            thread.join(10)


def test_readers_that_wait_when_a_write_ends_go_before_the_next_write():
    line = Line()
    with line.turns.write():
        for how, name in [("write", "w1"), ("read", "r1"), ("write", "w2"), ("read", "r2")]:
            line.enter(how, name)
    line.join()
    assert line.served == ["r1", "r2", "w1", "w2"]


def test_a_reader_that_comes_after_a_waiting_write_goes_after_it():
    line = Line()
    with line.turns.read():
        for how, name in [("write", "w1"), ("read", "r1"), ("write", "w2"), ("read", "r2")]:
            line.enter(how, name)
    line.join()
    assert line.served == ["w1", "r1", "r2", "w2"]


def test_readers_alone_are_served_in_the_order_of_coming():
    line = Line()
    with line.turns.read():
        for name in "abc":
            line.enter("read", name)
    line.join()
    assert line.served == ["a", "b", "c"]


def test_a_turn_may_be_taken_again_by_who_has_it():
    turns = FairLock()
    with turns.read():
        with turns.write(), turns.read():
            pass
        assert turns._taken
    assert not turns._taken


class InterruptedGate:
    """A gate whose wait ends with Ctrl-C: before it opens, or just after."""

    opened = None

    def __init__(self):
        self.locked = False

    def acquire(self):
        if self.locked:
            if InterruptedGate.opened:
                InterruptedGate.opened.wait(10)
            raise KeyboardInterrupt
        self.locked = True

    def release(self):
        InterruptedGate.opened.set()


@pytest.mark.parametrize("reached", [False, True])
def test_who_is_interrupted_in_the_line_keeps_nobody_waiting(monkeypatch, reached):
    line = Line()
    names = SimpleNamespace(Lock=InterruptedGate, get_ident=threading.get_ident)
    monkeypatch.setattr("oss_vector_retriever.emulator.storage.database.threading", names)
    monkeypatch.setattr(InterruptedGate, "opened", threading.Event() if reached else None)

    def interrupted():
        with pytest.raises(KeyboardInterrupt), line.turns.write():
            raise AssertionError

    thread = threading.Thread(target=interrupted)
    with line.turns.write():
        thread.start()
        if reached:
            while not line.turns._writers:
                time.sleep(0.001)
        else:
            thread.join(10)
    thread.join(10)
    assert not line.turns._taken
    with line.turns.read():
        assert line.turns._taken


def test_nobody_shares_a_turn():
    turns = FairLock()
    inside, most = 0, 0

    def use(how):
        nonlocal inside, most
        for _ in range(300):
            with getattr(turns, how)():
                inside += 1
                most = max(most, inside)
                time.sleep(0)
                inside -= 1

    threads = [threading.Thread(target=use, args=(how,)) for how in ["read", "write"] * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (inside, most) == (0, 1)
    assert not turns._taken
