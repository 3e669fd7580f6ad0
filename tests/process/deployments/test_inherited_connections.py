"""What a child does with the connections of its parent: nothing, in whatever way it ends.

The server tells connections apart, so that the parent's can be seen to live on. Over TLS as well: a
child that closed a session of the parent's would say so on the parent's connection.
"""

import random

import pytest
import trustme
from support.promises import FULL_SIZE
from support.socket_server import server_context
from support.vector_server import VectorServer

KEYS = [f"{who[0]}-{number}" for who in ("parent", "child") for number in range(300)]
LIBRARIES = ["httpx", "httpx2"] if FULL_SIZE else ["httpx2"]
ENDINGS = ["close", "drop", "exit", "_exit", "collect"]

COMMON = """
KEYS = {who: [f"{who[0]}-{n}" for n in range(300)] for who in ("parent", "child")}

def check(found, keys):
    assert [vector.key for vector in found] == keys
    assert all(vector.metadata["name"] == vector.key for vector in found)
"""

pytestmark = pytest.mark.promise("P1")


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(params=["plain", "TLS"])
def server(request, authority):
    tls = server_context(authority.issue_cert("127.0.0.1")) if request.param == "TLS" else None
    dice = random.Random(7)
    with VectorServer(KEYS, delay=lambda: dice.random() * 0.003, tls=tls) as server:
        yield server


@pytest.fixture
def use(run, server, authority, tmp_path):
    """Give a function that runs a program, and returns the connections that each process used."""
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)

    def use(program, library):
        run(f"CA = {str(ca_file)!r}\n" + COMMON + program, server.endpoint, library)
        used = {"parent": [], "child": []}
        for request in server.requests:
            [who] = {key[0] for key in request.json()["keys"]}
            used["parent" if who == "p" else "child"].append(request.connection)
        # nobody is served on a connection of the other
        assert not set(used["parent"]) & set(used["child"]), used
        return used

    return use


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_parents_connection_serves_on_however_children_end(use, library):
    used = use(
        f"""
import gc
client = OSSVectorClient(timeout=20, ca_file=CA)
check(client.fetch(KEYS["parent"][:3]), KEYS["parent"][:3])

def child(ending):
    global client
    check(client.fetch(KEYS["child"][:3]), KEYS["child"][:3])
    if ending == "close":
        client.close()
    elif ending == "drop":
        del client
        gc.collect()
    elif ending == "collect":
        gc.collect()

for ending in {ENDINGS!r}:
    leave = os._exit if ending == "_exit" else sys.exit
    wait_for([in_child(lambda: child(ending), leave)], 30)
    check(client.fetch(KEYS["parent"][:2]), KEYS["parent"][:2])
client.close()
""",
        library,
    )
    assert len(used["parent"]) == 1 + len(ENDINGS)
    assert len(set(used["parent"])) == 1
    assert len(set(used["child"])) == len(ENDINGS)


@pytest.mark.parametrize("library", LIBRARIES)
def test_calls_in_flight_of_threads_end_right_while_children_close(use, library):
    used = use(
        """
client = OSSVectorClient(timeout=20, ca_file=CA, coalesce=False)
check(client.fetch(KEYS["parent"]), KEYS["parent"])
stop = threading.Event()

def keep_working():
    while not stop.is_set():
        check(client.fetch(KEYS["parent"][:150]), KEYS["parent"][:150])

def child():
    check(client.fetch(KEYS["child"]), KEYS["child"])
    client.close()

failed = []
threading.excepthook = lambda args: failed.append(args)
threads = [threading.Thread(target=keep_working) for _ in range(3)]
for thread in threads:
    thread.start()
wait_for([in_child(child, sys.exit if n % 2 else os._exit) for n in range(6)], 60)
stop.set()
for thread in threads:
    thread.join(30)
assert not failed, failed
client.close()
""",
        library,
    )
    assert len(set(used["parent"])) <= 8  # each connection lived to the end


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_parents_loop_hears_of_its_sockets_while_children_let_go(use, library):
    # the kernel's list of what a loop waits for is shared with a child: what that takes out is gone
    used = use(
        """
import gc
client = AsyncOSSVectorClient(timeout=20, ca_file=CA, coalesce=False)

async def work(who, count):
    for _ in range(count):
        check(await client.fetch(KEYS[who][:150]), KEYS[who][:150])

def child(number):
    global client
    asyncio.run(use_in_child(number))
    if number == 2:
        del client
    gc.collect()

async def use_in_child(number):
    await asyncio.gather(work("child", 2), work("child", 2))
    if number:
        await client.close()

async def main():
    await asyncio.gather(*(work("parent", 1) for _ in range(4)))
    going = [asyncio.ensure_future(work("parent", 25)) for _ in range(4)]
    await asyncio.sleep(0.01)
    pids = []
    for number in range(3):
        pids.append(in_child(lambda: child(number)))
        await asyncio.sleep(0.02)
    async with asyncio.timeout(60):
        await asyncio.gather(*going)
    await asyncio.to_thread(wait_for, pids, 30)
    await work("parent", 3)
    await client.close()

asyncio.run(main())
""",
        library,
    )
    assert len(set(used["parent"])) <= 8
