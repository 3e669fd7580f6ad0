"""Clients that were used before a fork, in forked children beside a parent that goes on.

Each scenario is a program of its own against `oss-vectors serve`: this process's threads, hooks and
warnings are none of its business, and a child of pytest would be a second pytest.
"""

import os
import subprocess
import sys
import textwrap

import pytest
from support.promises import sized
from support.served_index import IDENTITY, serve_index

SETTINGS = {**IDENTITY, "OSS_VECTORS_INDEX": "big"}
LIBRARIES = ["httpx", "httpx2"]
TURNS = sized(20, 60)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")

PREAMBLE = """
import asyncio, os, random, sys, threading, time
from oss_vector_retriever import AsyncOSSVectorClient, OSSVectorClient

KEYS = [f"k{n}" for n in range(300)]

def in_child(work):
    # The child says what went wrong by its status; it ends without the parent's clean-up.
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(status)
    return pid

def wait_for(pids, seconds=40):
    ends = time.monotonic() + seconds
    for pid in pids:
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                assert status == 0, status
                break
            if time.monotonic() > ends:
                os.kill(pid, 9)
                sys.exit("a child hangs")
            time.sleep(0.01)

def check(vectors, keys):
    assert [vector.key for vector in vectors] == list(keys)
    assert all(vector.data[0] == float(vector.key[1:]) for vector in vectors)
"""


@pytest.fixture(scope="module")
def endpoint():
    vectors = ({"key": f"k{n}", "data": [n, 1]} for n in range(300))
    with serve_index("big", vectors, dimension=2) as endpoint:
        yield endpoint


@pytest.fixture
def run(endpoint, tmp_path):
    def run(program, library="httpx2"):
        path = tmp_path / "program.py"
        path.write_text(PREAMBLE + textwrap.dedent(program), encoding="utf-8")
        environment = {name: value for name, value in os.environ.items() if "OSS_" not in name}
        environment |= SETTINGS | {"OSS_ENDPOINT": endpoint, "OSS_VECTORS_HTTP_LIBRARY": library}
        done = subprocess.run(
            [sys.executable, "-W", "error::ResourceWarning", path],
            env=environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("options", ["", "coalesce=False", "max_concurrency=1"])
def test_children_of_a_working_parent_read_what_they_asked_for(run, library, options):
    run(
        f"""
        client = OSSVectorClient(timeout=20, {options})
        check(client.fetch(KEYS), KEYS)  # connections, and threads
        stop = threading.Event()

        def work(seconds=None):
            dice = random.Random(os.getpid())
            for _ in range({TURNS}):
                keys = dice.sample(KEYS, dice.choice([1, 2, 150]))
                check(client.fetch(keys), keys)
                key = dice.choice(KEYS[1:])
                [one] = client.get_vectors([key], return_data=True).vectors
                assert one.data[0] == float(key[1:])

        def keep_working():
            while not stop.is_set():
                check(client.fetch(KEYS[:3]), KEYS[:3])

        threads = [threading.Thread(target=keep_working) for _ in range(3)]
        for thread in threads:
            thread.start()
        pids = [in_child(work) for _ in range(4)]  # while fetches run in threads
        work()
        wait_for(pids)
        stop.set()
        for thread in threads:
            thread.join()
        work()
        """,
        library,
    )


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_parents_event_loop_goes_on_and_the_childs_owns_its_client(run, library):
    run(
        """
        client = AsyncOSSVectorClient(timeout=20)

        async def work():
            for _ in range(30):
                keys = random.sample(KEYS, 150)
                check(await client.fetch(keys), keys)
                one, two = await asyncio.gather(client.fetch(["k1"]), client.fetch(["k2"]))
                check(one, ["k1"]), check(two, ["k2"])

        def child():
            # the parent's loop runs on in this thread's state; a child begins one of its own
            asyncio._set_running_loop(None)
            asyncio.run(work())
            asyncio.run(client.close())

        async def main():
            check(await client.fetch(KEYS), KEYS)
            going = asyncio.ensure_future(work())
            await asyncio.sleep(0)
            pids = [in_child(child) for _ in range(3)]
            await going
            await asyncio.to_thread(wait_for, pids)
            await work()
            await client.close()

        asyncio.run(main())
        """,
        library,
    )


def test_what_is_held_at_the_moment_of_the_fork_holds_up_no_child(run):
    run(
        """
        client = OSSVectorClient(timeout=5, rate_limit=1000, credentials=lambda: (
            os.environ["OSS_ACCESS_KEY_ID"], os.environ["OSS_ACCESS_KEY_SECRET"]))
        check(client.fetch(KEYS), KEYS)
        context, runner = client._context, client._runner
        limiter = context.rate_limiters["GetVectors"]
        locks = [limiter._lock, context.retry_budget._lock, context.credentials._lock,
                 runner._lock, runner._coalescer._lock]

        def hold(lock):
            with lock:
                time.sleep(3)

        for lock in locks:
            threading.Thread(target=hold, args=[lock], daemon=True).start()
        for _ in range(client.config.max_concurrency):  # as other threads' calls in flight
            runner._exchange._gate.acquire()
        runner._coalescer.holders.update(range(100))
        started = time.monotonic()
        wait_for([in_child(lambda: check(client.fetch(KEYS), KEYS))])
        assert time.monotonic() - started < 3
        """
    )


def test_a_pool_of_processes_shares_a_client_by_fork_and_by_pickle(run):
    run(
        """
        import multiprocessing
        client = OSSVectorClient(timeout=20)

        def task(seed):
            keys = random.Random(seed).sample(KEYS, 120)
            check(client.fetch(keys), keys)
            return os.getpid()

        def by_pickle(sent):
            check(sent.fetch(KEYS[:5]), KEYS[:5])

        if __name__ == "__main__":
            check(client.fetch(KEYS), KEYS)
            with multiprocessing.get_context("fork").Pool(3) as pool:
                assert os.getpid() not in pool.map(task, range(30))
            worker = multiprocessing.get_context("forkserver").Process(
                target=by_pickle, args=(client,))
            worker.start(), worker.join(60)
            assert worker.exitcode == 0
            check(client.fetch(KEYS), KEYS)
        """
    )


def test_stores_of_both_frameworks_and_settings_that_share_a_client(run):
    run(
        """
        from langchain_core.embeddings import DeterministicFakeEmbedding
        from oss_vector_retriever import langchain, llama_index

        client = OSSVectorClient(timeout=20)
        store = langchain.OSSVectorStore(DeterministicFakeEmbedding(size=2), client=client)
        nodes = llama_index.OSSVectorStore(client)
        tight = client.with_options(timeout=10)

        def work():
            assert [one.id for one in store.get_by_ids(KEYS)] == KEYS
            assert [one.node_id for one in nodes.get_nodes(KEYS[:150])] == KEYS[:150]
            check(tight.fetch(KEYS[:4]), KEYS[:4])
            found = asyncio.run(store.aget_by_ids(KEYS[:3]))
            assert [one.id for one in found] == KEYS[:3]

        work()
        wait_for([in_child(work) for _ in range(2)])
        work()
        """
    )


@pytest.mark.parametrize("path", ["", "'vectors.db'"])
def test_an_embedded_service_refuses_a_child_and_serves_its_parent_on(run, path, tmp_path):
    run(
        f"""
        from oss_vector_retriever import ConfigurationError
        os.chdir({str(tmp_path)!r})
        client = OSSVectorClient.local({path})
        client.put_vector_index(dimension=2)
        client.upsert({{"key": key, "data": [1, 1]}} for key in KEYS)

        def child():
            calls = (lambda: client.fetch(KEYS),
                     lambda: asyncio.run(client.to_async().fetch(KEYS)))
            for call in calls:
                try:
                    call()
                except ConfigurationError as error:
                    assert "oss-vectors serve" in str(error), error
                else:
                    raise AssertionError("not refused")
            client.close()

        wait_for([in_child(child)])
        assert len(client.fetch(KEYS)) == 300
        client.upsert([{{"key": "more", "data": [1, 1]}}])
        client.close()
        """
    )


def test_a_child_counts_from_zero_and_warns_anew(run):
    run(
        """
        import logging
        lines = []
        handler = logging.Handler()
        handler.emit = lambda record: lines.append(record.getMessage())
        logging.getLogger("oss_vector_retriever").addHandler(handler)
        client = OSSVectorClient(timeout=20)
        client.fetch([*KEYS, "gone"])
        client._context.warn_once_a_minute("topic", "said")
        before = client.stats()
        assert (before.calls, before.missing) == (4, 1), before

        def work():
            assert client.stats().calls == client.stats().missing == client.stats().shared == 0
            client.fetch(KEYS[:2])
            assert client.stats().calls == 1
            client._context.warn_once_a_minute("topic", "said")
            assert lines == ["said", "said"], lines

        wait_for([in_child(work)])
        assert client.stats() == before
        """
    )


def test_no_fork_begins_while_a_thread_is_in_openssl(run):
    # whose locks nothing renews: a child would wait for ever for one that a thread held
    run(
        """
        import hashlib, hmac
        from oss_vector_retriever.client import fork

        client, entered, times, unguarded = OSSVectorClient(), threading.Event(), {}, []
        digest, md5 = hmac.digest, hashlib.md5

        def hash_for_a_while(*arguments):
            unguarded.append(not fork.gate._is_owned())
            if not entered.is_set():
                entered.set()
                time.sleep(0.5)
                times["left"] = time.monotonic()
            return digest(*arguments)

        hmac.digest = hash_for_a_while
        thread = threading.Thread(target=client.fetch, args=[KEYS[:1]])
        thread.start()
        entered.wait()
        pid = in_child(lambda: client.fetch(KEYS[:1]))
        forked = time.monotonic()
        thread.join()
        wait_for([pid])
        assert times["left"] <= forked, (times, forked)
        assert unguarded and not any(unguarded)
        """
    )


def test_a_child_remembers_no_write_of_its_parent(run):
    run(
        """
        from oss_vector_retriever.client.recent import recent_writes
        from oss_vector_retriever.records.settings import StoreSettings
        from oss_vector_retriever.records.store import RecordStore

        client = OSSVectorClient(index="own", timeout=20)
        store = RecordStore(StoreSettings(read_your_writes=True))

        def write(key):
            client.run(store.write, [store.encode(key, [1.0, 0.0], text="t")])

        def written():
            return list(recent_writes(client._context, None, True).written)

        def work():
            assert written() == []
            write("child")
            assert written() == ["child"]

        write("parent")
        assert written() == ["parent"]
        wait_for([in_child(work)])
        assert written() == ["parent"]
        """
    )
