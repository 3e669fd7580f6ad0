"""Forked children beside a parent that works on: each reads what it asked for, and none hangs."""

import itertools

import pytest
from support.promises import FULL_SIZE, sized

LIBRARIES = ["httpx", "httpx2"]
TOTAL = sized(80, 2_560, 10_000)  # for each of four ways, and as often in pools
WAYS = ["Pool", "executor", "forkserver"]
KINDS = ["sync", "async"]
STORMS = [
    *(itertools.product(KINDS, LIBRARIES) if FULL_SIZE else zip(KINDS, LIBRARIES, strict=True))
]
POOLS = sorted(
    itertools.product(WAYS, LIBRARIES)
    if FULL_SIZE
    else zip(WAYS, [*LIBRARIES, "httpx"], strict=True)
)
SECONDS = sized(100, 460)

pytestmark = [pytest.mark.promise("P1"), pytest.mark.timeout(SECONDS + 20)]


@pytest.mark.parametrize(("kind", "library"), STORMS)
def test_8_children_and_their_parent_are_answered_right(run, endpoint, figure, kind, library):
    seen = run(
        f"""
        client, aclient = OSSVectorClient(timeout=60), AsyncOSSVectorClient(timeout=60)
        stop, mine = threading.Event(), []

        def keep_working(seed):
            while not stop.is_set():
                mine.append(work(client, seed, 5))

        async def keep_a_loop_working(ready):
            while not stop.is_set():
                mine.append(await awork(aclient, 7, 10))
                ready.set()
            await aclient.close()

        def child(seed):
            count = {TOTAL} // 8
            if {kind!r} == "sync":
                seen = work(client, seed, count)
            else:
                async def main():
                    seen = await awork(aclient, seed, count)
                    await aclient.close()
                    return seen
                seen = asyncio.run(main())
            client.close()  # while the parent's calls are in flight
            return dict(seen)

        mine.append(work(client, 0, 10))
        ready = threading.Event()
        threads = [threading.Thread(target=keep_working, args=[n]) for n in range(2)]
        threads.append(threading.Thread(
            target=lambda: asyncio.run(keep_a_loop_working(ready))))
        for thread in threads:
            thread.start()
        assert ready.wait(60)
        pids = [in_child(lambda: child(seed)) for seed in range(100, 108)]
        wait_for(pids, {SECONDS})
        stop.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "a thread of the parent hangs"
        for seen in mine:
            say({{"parent " + name: count for name, count in seen.items()}})
        say({{"parent " + name: count for name, count in work(client, 1, 10).items()}})
        """,
        endpoint,
        library,
        SECONDS,
    )
    parents = {name: seen.pop(name) for name in list(seen) if name.startswith("parent ")}
    assert seen == {"right": TOTAL}
    assert set(parents) == {"parent right"}
    figure(f"{TOTAL:,} fetches and queries in 8 children, 0 wrong, missing or hanging")


@pytest.mark.parametrize(("way", "library"), POOLS)
def test_pools_of_processes_are_answered_right(run, endpoint, figure, way, library):
    # with threads of the parent at work at each moment of a fork
    seen = run(
        f"""
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        client = OSSVectorClient(timeout=60)
        CHUNK = 20

        def task(seed):
            return os.getpid(), dict(work(client, seed, CHUNK))

        if __name__ == "__main__":
            stop, mine = threading.Event(), []
            mine.append(work(client, 0, 5))

            def keep_working(seed):
                while not stop.is_set():
                    mine.append(work(client, seed, 5))

            threads = [threading.Thread(target=keep_working, args=[n]) for n in range(2)]
            for thread in threads:
                thread.start()
            seeds = range({TOTAL} // CHUNK)
            way = {way!r}
            context = multiprocessing.get_context("forkserver" if way == "forkserver" else "fork")
            if way == "executor":
                with ProcessPoolExecutor(4, mp_context=context) as pool:
                    results = list(pool.map(task, seeds))
            else:
                with context.Pool(4) as pool:
                    results = pool.map_async(task, seeds, chunksize=1).get({SECONDS})
                    pool.close(), pool.join()
            stop.set()
            for thread in threads:
                thread.join(60)
                assert not thread.is_alive()
            assert os.getpid() not in {{pid for pid, _ in results}}
            for _, seen in results:
                say(seen)
            for seen in mine:
                say({{"parent " + name: count for name, count in seen.items()}})
        """,
        endpoint,
        library,
        SECONDS,
    )
    assert set(seen) == {"right", "parent right"}
    assert seen["right"] == TOTAL
    figure(f"{TOTAL:,} in a process pool, 0 wrong")


@pytest.mark.parametrize("library", LIBRARIES[-1:])
def test_a_loader_forks_workers_while_fetches_run_in_threads(run, endpoint, library):
    # as torch's DataLoader does: workers index a data set that holds the client, by queues
    seen = run(
        """
        import multiprocessing
        context = multiprocessing.get_context("fork")

        class Dataset:
            def __init__(self):
                self.client = OSSVectorClient(timeout=60)
            def __len__(self):
                return len(KEYS)
            def __getitems__(self, positions):
                keys = [KEYS[position] for position in positions]
                return [(v.key, v.data.tolist()) for v in self.client.fetch(keys)]

        class Loader:
            def __init__(self, dataset, batch, workers):
                self.dataset, self.batch, self.workers = dataset, batch, workers
            def _serve(self, todo, done):
                for number, positions in iter(todo.get, None):
                    done.put((number, self.dataset.__getitems__(positions)))
            def __iter__(self):
                todo, done = context.Queue(), context.Queue()
                places = range(len(self.dataset))
                batches = [places[at:at + self.batch] for at in range(0, len(places), self.batch)]
                processes = [context.Process(target=self._serve, args=(todo, done), daemon=True)
                             for _ in range(self.workers)]
                for process in processes:
                    process.start()
                for number, positions in enumerate(batches):
                    todo.put((number, list(positions)))
                ready, next_one = {}, 0
                while next_one < len(batches):
                    number, items = done.get(timeout=60)
                    ready[number] = items
                    while next_one in ready:
                        yield ready.pop(next_one)
                        next_one += 1
                for process in processes:
                    todo.put(None)
                for process in processes:
                    process.join(30)
                    assert process.exitcode == 0, process.exitcode

        dataset = Dataset()
        stop, mine = threading.Event(), []

        def keep_working(seed):
            while not stop.is_set():
                mine.append(work(dataset.client, seed, 5))

        threads = [threading.Thread(target=keep_working, args=[n]) for n in range(3)]
        for thread in threads:
            thread.start()
        for epoch in range(3):
            loaded = [item for items in Loader(dataset, 17, 4) for item in items]
            assert loaded == [(key, [float(n), 1.0]) for n, key in enumerate(KEYS)], epoch
            say({"epochs": 1})
        stop.set()
        for thread in threads:
            thread.join(60)
        for seen in mine:
            say(dict(seen))
        """,
        endpoint,
        library,
    )
    assert seen.pop("epochs") == 3
    assert set(seen) == {"right"}


def test_a_fork_by_c_code_is_seen_at_the_next_run(run, endpoint):
    # no hook of Python's runs at such a fork; PyDLL, for the child needs the interpreter's lock
    run(
        """
        import ctypes
        from langchain_core.embeddings import DeterministicFakeEmbedding
        from oss_vector_retriever.langchain import OSSVectorStore

        client, aclient = OSSVectorClient(timeout=20), AsyncOSSVectorClient(timeout=20)
        store = OSSVectorStore(DeterministicFakeEmbedding(size=2), client=client)
        fork = ctypes.PyDLL(None).fork
        work(client, 1, 10)
        store.get_by_ids(KEYS[:3])

        def child(seed):
            assert dict(work(client, seed, 20)) == {"right": 20}
            assert [one.id for one in store.get_by_ids(KEYS[:3])] == KEYS[:3]

        async def achild(seed):
            assert dict(await awork(aclient, seed, 20)) == {"right": 20}
            assert [one.id for one in await store.aget_by_ids(KEYS[:3])] == KEYS[:3]
            await aclient.close()

        async def use():
            assert dict(await awork(aclient, 1, 10)) == {"right": 10}
            await store.aget_by_ids(KEYS[:3])

        loop = asyncio.new_event_loop()
        loop.run_until_complete(use())
        pids = []
        for seed in range(3):
            pid = fork()
            if pid == 0:
                status = 1
                try:
                    if seed % 2:
                        child(seed)
                    asyncio.run(achild(seed))
                    child(seed)
                    status = 0
                finally:
                    if status:
                        import traceback
                        traceback.print_exc()
                    os._exit(status)
            pids.append(pid)
            child(seed)
        wait_for(pids, 60)
        loop.run_until_complete(use())
        loop.run_until_complete(aclient.close())
        loop.close()
        """,
        endpoint,
    )


def test_a_client_that_was_made_before_and_is_used_first_in_children(run, endpoint):
    seen = run(
        """
        client, aclient = OSSVectorClient(timeout=20), AsyncOSSVectorClient(timeout=20)
        async def main():
            async with aclient:
                return dict(await awork(aclient, 3, 20))
        pids = [in_child(lambda: dict(work(client, 2, 20))), in_child(lambda: asyncio.run(main()))]
        wait_for(pids, 60)
        say(dict(work(client, 1, 20)))
        """,
        endpoint,
    )
    assert seen == {"right": 60}


def test_children_of_children_are_right(run, endpoint):
    seen = run(
        """
        client = OSSVectorClient(timeout=20)

        def generation(depth):
            seen = work(client, depth, 10)
            if depth:
                wait_for([in_child(lambda: generation(depth - 1))], 60)
            return dict(seen + work(client, depth, 10))

        say(generation(4))
        """,
        endpoint,
    )
    assert seen == {"right": 100}


def test_whatever_lock_is_held_at_the_moment_of_the_fork_holds_up_no_child(run, endpoint):
    # every lock that can be reached from a client, a store's pair and the table of writes
    seen = run(
        """
        import gc, types
        from langchain_core.embeddings import DeterministicFakeEmbedding
        from oss_vector_retriever.client import holds
        from oss_vector_retriever.langchain import OSSVectorStore

        def credentials():
            return os.environ["OSS_ACCESS_KEY_ID"], os.environ["OSS_ACCESS_KEY_SECRET"]

        client = OSSVectorClient(timeout=10, rate_limit=10_000, credentials=credentials)
        store = OSSVectorStore(DeterministicFakeEmbedding(size=2), client=client)
        work(client, 1, 20)
        store.get_by_ids(KEYS)
        asyncio.run(store.aget_by_ids(KEYS))

        KINDS = type(threading.Lock()), type(threading.RLock())
        found, seen, todo = [], set(), [client, store, holds._table]
        while todo:
            thing = todo.pop()
            if id(thing) in seen or isinstance(thing, (type, types.ModuleType, types.FrameType)):
                continue
            seen.add(id(thing))
            if isinstance(thing, KINDS):
                found.append(thing)
                continue
            module = type(thing).__module__.partition(".")[0]
            if module not in {"oss_vector_retriever", "threading", "builtins", "queue",
                              "concurrent", "_queue", "collections"}:
                continue
            if isinstance(thing, threading.Thread) or callable(thing) and module == "builtins":
                continue
            todo += gc.get_referents(thing)
        free = []
        release = threading.Event()

        def hold(lock, held):
            if lock.acquire(blocking=False):  # a lock in use is one that somebody holds, too
                free.append(lock)
                held.set()
                release.wait(60)
                lock.release()
            held.set()

        for lock in found:
            held = threading.Event()
            threading.Thread(target=hold, args=[lock, held], daemon=True).start()
            held.wait()
        vector = {"key": "written", "data": [5000, 1]}

        def child():
            seen = work(client, 3, 20)
            assert [one.id for one in store.get_by_ids(KEYS)] == KEYS
            assert [one.id for one in asyncio.run(store.aget_by_ids(KEYS))] == KEYS
            client.put_vectors([vector])
            assert store.update_metadata(["written"], {"n": 1}) == ["written"]
            client.delete(["written"])
            return dict(seen)

        started = time.monotonic()
        pid = in_child(child)
        wait_for([pid], 30)
        release.set()
        say({"locks": len(free)})
        """,
        endpoint,
    )
    assert seen["right"] == 20
    assert seen["locks"] >= 6


def test_a_with_block_around_a_fork_closes_each_processs_own(run, endpoint):
    seen = run(
        """
        def child(client):
            seen = work(client, 1, 10)
            client.close()
            try:
                client.fetch(KEYS[:1])
            except ValueError as error:
                assert "closed" in str(error)
            else:
                raise AssertionError("not closed")
            return dict(seen)

        pids = []
        with OSSVectorClient(timeout=20) as client:
            work(client, 1, 5)
            pid = os.fork()
            if pid == 0:
                with client:  # the block of the parent goes on in the child, and ends in it
                    say(dict(work(client, 2, 10)))
                os._exit(0)
            pids.append(pid)
            pids.append(in_child(lambda: child(client)))
            wait_for(pids, 60)
            say(dict(work(client, 3, 10)))
        """,
        endpoint,
    )
    assert seen == {"right": 30}


def test_credentials_that_are_being_asked_for_are_asked_for_anew(run, endpoint):
    seen = run(
        """
        asking, go_on = threading.Event(), threading.Event()
        first = True

        def credentials():
            global first
            if first and os.getpid() == parent:
                first = False
                asking.set()
                go_on.wait(60)
            return os.environ["OSS_ACCESS_KEY_ID"], os.environ["OSS_ACCESS_KEY_SECRET"]

        parent = os.getpid()
        client = OSSVectorClient(timeout=20, credentials=credentials)
        mine = []
        thread = threading.Thread(target=lambda: mine.append(work(client, 1, 10)))
        thread.start()
        assert asking.wait(10)
        wait_for([in_child(lambda: dict(work(client, 2, 10)))], 15)
        go_on.set()
        thread.join(30)
        say(dict(mine[0]))
        """,
        endpoint,
    )
    assert seen == {"right": 20}


def test_an_update_that_is_held_up_in_the_parent_holds_up_no_child(run, endpoint):
    run(
        """
        from oss_vector_retriever.client import holds
        client = OSSVectorClient(timeout=5)
        client.put_vectors([{"key": "held", "data": [9000, 1]}])
        hold = holds.Hold(client._context, "big", ["held"], alone=True)
        holds._table.request(hold)

        def child():
            client.put_vectors([{"key": "held", "data": [9000, 1]}])

        wait_for([in_child(child)], 4)
        hold.release()
        client.delete(["held"])
        """,
        endpoint,
    )


def test_an_async_client_whose_loop_ended_before_the_fork_is_of_the_childs_loop(run, endpoint):
    # as in a server that uses it once when it is loaded, and then forks its workers
    seen = run(
        """
        client, closed = AsyncOSSVectorClient(timeout=20), AsyncOSSVectorClient(timeout=20)

        async def use():
            await client.fetch(KEYS)
            async with closed:
                await closed.fetch(KEYS)

        async def use_in_child():
            try:
                await closed.fetch(KEYS[:1])
            except ValueError as error:
                assert "closed" in str(error)
            else:
                raise AssertionError("what the user has closed stays so")
            async with client:
                return dict(await awork(client, 1, 20))

        asyncio.run(use())
        wait_for([in_child(lambda: asyncio.run(use_in_child())) for _ in range(2)], 60)
        """,
        endpoint,
    )
    assert seen == {"right": 40}
