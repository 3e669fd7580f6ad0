"""gunicorn, uvicorn and Celery, as they are: workers that share what their parent had used."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.promises import FULL_SIZE, sized

APPS = Path(__file__).parent / "apps"
TOTAL = sized(120, 2_500, 10_000)  # for each of four servers
CHUNK = sized(10, 50)
PRELOADED = {"PRELOADED": "yes"}
GUNICORN = ["gunicorn", "--preload", "--bind", "127.0.0.1:0", "--workers", "2", "--timeout", "120"]
SERVERS = {
    "gunicorn, threads": ([*GUNICORN, "--threads", "4", "wsgi:application"], PRELOADED),
    "gunicorn, one at a time": ([*GUNICORN, "wsgi:application"], PRELOADED),
    "gunicorn, uvicorn's worker": (
        [*GUNICORN, "--worker-class", "uvicorn.workers.UvicornWorker", "asgi:application"],
        PRELOADED,
    ),
    "uvicorn": (["uvicorn", "--port", "0", "--workers", "2", "asgi:application"], {}),
}
QUICK = ["gunicorn, threads", "gunicorn, uvicorn's worker"]

pytestmark = [pytest.mark.promise("P1"), pytest.mark.timeout(480)]


def needs(name):
    missing = importlib.util.find_spec(name) is None
    return pytest.mark.skipif(missing, reason=f"{name} is not installed")


class Deployed:
    """A server's process and what it prints."""

    def __init__(self, command, environment, folder):
        self.lines = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env=environment,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def output(self):
        return "".join(self.lines)

    def wait_for(self, pattern, count=1):
        ends = time.monotonic() + 60
        while len(found := re.findall(pattern, self.output)) < count:
            assert time.monotonic() < ends, self.output
            assert self.process.poll() is None, self.output
            time.sleep(0.02)
        return found

    def stop(self):
        """End it as its operator does, and return its status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        finally:
            self.end()

    def end(self):
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdout.close()


@pytest.fixture
def deploy(endpoint, make_environment, tmp_path):
    """Give a function that starts a server of the applications."""
    started = []

    def deploy(command, library="httpx2", **more):
        environment = make_environment(endpoint, library, **more)
        environment["PYTHONPATH"] += os.pathsep + str(APPS)
        started.append(Deployed(command, environment, tmp_path))
        return started[-1]

    yield deploy
    for one in started:
        one.end()


def ask(port, seed, count=CHUNK):
    url = f"http://127.0.0.1:{port}/?seed={seed}&count={count}"
    with urllib.request.urlopen(url, timeout=120) as reply:
        return json.load(reply)


@pytest.mark.parametrize("name", SERVERS if FULL_SIZE else QUICK)
def test_workers_answer_right_and_end_what_they_have_begun(deploy, figure, name):
    command, more = SERVERS[name]
    pytest.importorskip(command[0])
    server = deploy(command, **more)
    port = server.wait_for(r"127\.0\.0\.1:([1-9]\d*)")[0]
    server.wait_for("Booting worker|Started server process", 2)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda seed: ask(port, seed), range(TOTAL // CHUNK)))
        # and a graceful stop with requests in flight
        last = [pool.submit(ask, port, seed, 30) for seed in range(4)]
        time.sleep(0.1)
        server.process.send_signal(signal.SIGTERM)
        in_flight = [one for one in last if not one.exception(120)]
        answers += [one.result() for one in in_flight]
    assert server.stop() == 0, server.output
    seen = sum((Counter(answer["seen"]) for answer in answers), Counter())
    assert set(seen) == {"right"}, seen
    assert seen["right"] >= TOTAL
    assert len({answer["pid"] for answer in answers}) == 2
    if more:
        assert all(answer["pid"] != answer["parent"] for answer in answers)
    assert not re.search(r"Traceback|Exception ignored|ERROR", server.output), server.output
    assert in_flight
    figure(f"{TOTAL:,} in 2 workers of {name}, 0 wrong")


PROGRAM = """
import sys, json
from tasks import serve
results = [serve.delay(seed, {count}) for seed in range({tasks})]
for result in results:
    print(json.dumps(result.get(timeout={seconds})), flush=True)
"""


@needs("celery")
def test_celerys_prefork_workers_answer_right(deploy, endpoint, make_environment, figure, tmp_path):
    tasks = sized(10, 100)
    worker = deploy(
        [
            "celery",
            "-A",
            "tasks",
            "worker",
            "--pool=prefork",
            "-c",
            "2",
            "--loglevel",
            "INFO",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ],
        CELERY_FOLDER=str(tmp_path),
    )
    worker.wait_for(r"ready\.")
    environment = make_environment(endpoint, CELERY_FOLDER=str(tmp_path))
    environment["PYTHONPATH"] += os.pathsep + str(APPS)
    program = PROGRAM.format(count=CHUNK, tasks=tasks, seconds=sized(60, 400))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=450,
    )
    assert done.returncode == 0, done.stderr + worker.output
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    seen = sum((Counter(answer["seen"]) for answer in answers), Counter())
    assert seen == {"right": tasks * (CHUNK + 1)}
    assert all(answer["pid"] != answer["parent"] for answer in answers)
    assert 1 <= len({answer["pid"] for answer in answers}) <= 2
    assert worker.stop() == 0, worker.output
    assert "Traceback" not in worker.output
    figure(f"{tasks * CHUNK:,} in Celery's prefork workers, 0 wrong")
