"""What an operator sees: warnings, lines of the log, attempts in an error's text, and counters."""

import logging

import pytest

LOGGER = "oss_vector_retriever"


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.DEBUG, LOGGER)
    return caplog


def lines(log, level):
    return [r.getMessage() for r in log.records if r.name == LOGGER and r.levelno == level]


class TestAWarning:
    def test_comes_once_a_minute_for_each_topic(self, machine, log):
        context = machine.context()
        for topic in ("a", "a", "b"):
            context.warn_once_a_minute(topic, "%s is slow", topic)
        machine.passes(59.0)
        context.warn_once_a_minute("a", "a is slow")
        machine.passes(1.0)
        context.warn_once_a_minute("a", "a is slow again")
        assert lines(log, logging.WARNING) == ["a is slow", "b is slow", "a is slow again"]

    def test_is_shared_by_the_clients_made_with_options_and_by_no_other(self, machine, log):
        context = machine.context()
        context.warn_once_a_minute("a", "one")
        context.with_options(timeout=3.0).warn_once_a_minute("a", "two")
        context.with_options(credentials=("b", "c")).warn_once_a_minute("a", "three")
        machine.context().warn_once_a_minute("a", "another client's")
        assert lines(log, logging.WARNING) == ["one", "another client's"]

    def test_of_long_ago_is_not_kept(self, machine):
        context = machine.context()
        for number in range(100):
            context.warn_once_a_minute(f"index {number}", "gone")
            machine.passes(30.0)
        assert len(context.notices._warned) <= 3

    def test_is_a_childs_own_after_a_fork(self, machine, log):
        context = machine.context()
        context.warn_once_a_minute("a", "the parent's")
        context.notices.renew_after_fork()
        context.warn_once_a_minute("a", "the child's")
        assert lines(log, logging.WARNING) == ["the parent's", "the child's"]
