"""Rounds of contenders in alternation: each in a process of its own, on the same service."""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
EMBEDDED = {"serve": "embedded"}  # in place of the options of the canned service
SERVE = "from oss_vector_retriever.cli.main import main; main()"
PLACE = {
    "bucket": "examplebucket",
    "account_id": "123456",
    "region": "cn-hangzhou",
    "access_key_id": "id",
    "access_key_secret": "secret",
}
VARIABLES = {
    "OSS_ENDPOINT": "endpoint",
    "OSS_REGION": "region",
    "OSS_ACCOUNT_ID": "account_id",
    "OSS_VECTORS_BUCKET": "bucket",
    "OSS_ACCESS_KEY_ID": "access_key_id",
    "OSS_ACCESS_KEY_SECRET": "access_key_secret",
}


@dataclass(frozen=True)
class Contender:
    """One side of a comparison: a program, its task, and what it is told beyond the group's job.

    `code` in place of a program is run by a new interpreter each round.
    """

    name: str
    program: str = ""
    task: str = ""
    job: dict = field(default_factory=dict)
    code: str = ""


@dataclass(frozen=True)
class Group:
    """Contenders at the same work, on one service or none.

    `calls` are those of one round; of each (quick, full) pair of `rounds` the mode takes one.
    """

    name: str
    contenders: tuple[Contender, ...]
    job: dict = field(default_factory=dict)
    service: dict | None = None
    calls: int = 1
    rounds: tuple[int, int] = (5, 15)
    alike: bool = True  # all results are the same thing, and are compared
    warm: bool = True  # a round goes before those that count; without it the first call counts
    quick: bool = True  # measured in the quick mode, too
    smaller: dict = field(default_factory=dict)  # of the job, in the quick mode

    def job_in(self, *, full):
        """Return the job of a mode."""
        return self.job if full else {**self.job, **self.smaller}


@dataclass
class Taken:
    """What the rounds of one contender took; `missing` names what is not installed."""

    rounds: list[dict] = field(default_factory=list)
    missing: str = ""

    def figures(self, measure):
        return [taken[measure] for taken in self.rounds]


def run(group, *, full):
    """Return what each contender took, by name."""
    rounds = group.rounds[full]
    taken = {contender.name: Taken() for contender in group.contenders}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        job, count_requests = {**group.job_in(full=full), "folder": folder}, lambda: 0
        if group.service is not None:
            serve = serve_embedded() if group.service is EMBEDDED else serve_canned(group.service)
            job |= stack.enter_context(serve)
            if group.service is not EMBEDDED:
                count_requests = RequestCounter(job["endpoint"])
        running, digests = {}, {}
        for contender in group.contenders:
            process = stack.enter_context(start_contender(contender, job))
            try:
                process.prepare()
                if group.alike:
                    digests[contender.name] = process.check()
            except MissingError as error:
                taken[contender.name].missing = str(error)
                continue
            running[contender.name] = process
        if len(set(digests.values())) > 1:
            raise AssertionError(f"{group.name}: the results differ: {digests}")
        count_requests()
        for turn in range(not group.warm, rounds + 1):
            # who comes first changes, for the second finds a warmer cache
            for name in list(running)[:: -1 if turn % 2 else 1]:
                told = running[name].round(group.calls)
                requests = count_requests() / group.calls
                if turn:  # the first loads what is loaded once
                    taken[name].rounds.append({**told, "requests": requests})
    return taken


class RequestCounter:
    """A counter of the requests that the service of canned vectors has had since the last call."""

    def __init__(self, endpoint):
        self._url = f"{endpoint}/requests"

    def __call__(self):
        with urllib.request.urlopen(self._url) as reply:
            return int(reply.read())


class MissingError(Exception):
    """What a contender needs is not installed."""


class Process:
    """A contender's program, which waits for commands."""

    def __init__(self, process, job):
        self._process, self._job = process, job

    def prepare(self):
        self._ask(json.dumps(self._job))

    def check(self):
        return self._ask("check")["digest"]

    def round(self, calls):
        return self._ask(f"round {calls}")

    def _ask(self, line):
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        told = self._process.stdout.readline()
        if not told:
            raise RuntimeError(f"{self._process.args} ended: see above")
        told = json.loads(told)
        if "missing" in told:
            raise MissingError(told["missing"])
        return told


class FreshProcess:
    """Code that a new interpreter runs each round; what the process took is the figure."""

    def __init__(self, code):
        self._command = [sys.executable, "-c", code]

    def prepare(self):
        done = subprocess.run(
            self._command, env=environment(), capture_output=True, text=True, check=False
        )
        if "ModuleNotFoundError" in done.stderr:
            raise MissingError(done.stderr.strip().rpartition("named ")[2].strip("'"))
        if done.returncode:
            raise RuntimeError(done.stderr)

    def round(self, calls):
        cpu, wall, most = 0.0, time.perf_counter(), 0
        for _ in range(calls):
            child = subprocess.Popen(self._command, env=environment(), stdout=subprocess.DEVNULL)
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = status
            assert status == 0, self._command
            cpu += used.ru_utime + used.ru_stime
            most = max(most, used.ru_maxrss * 1024)
        wall = time.perf_counter() - wall
        return {"cpu": cpu / calls, "wall": wall / calls, "memory": most}


@contextmanager
def start_contender(contender, job):
    if contender.code:
        yield FreshProcess(contender.code)
        return
    with run_program(HERE / contender.program) as process:
        told = {**job, **contender.job, "task": contender.task, "name": contender.name}
        yield Process(process, told)


@contextmanager
def serve_canned(job):
    """Run the service of canned vectors, and yield its place."""
    with run_program(HERE / "service.py") as process:
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        yield {**PLACE, "endpoint": process.stdout.readline().strip()}


@contextmanager
def serve_embedded():
    """Run `oss-vectors serve`, and yield its place."""
    with run_program("-c", SERVE, "serve", "--port", "0", "--behaviour", "quick") as process:
        told = {}
        for line in process.stdout:
            name, _, value = line.strip().partition("=")
            if variable := VARIABLES.get(name.removeprefix("export ")):
                told[variable] = value
            if len(told) == len(VARIABLES):
                break
        yield told


@contextmanager
def run_program(*words):
    with subprocess.Popen(
        [sys.executable, *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def environment():
    """Return that of the programs: they find the harness and this project, and no account."""
    kept = {name: v for name, v in os.environ.items() if not name.startswith(("OSS_", "AWS_"))}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)  # imports would be compiled each time
    return {
        **kept,
        "PYTHONPATH": f"{HERE}{os.pathsep}{PROJECT}",
        "AWS_EC2_METADATA_DISABLED": "1",
        "NO_PROXY": "*",
        "no_proxy": "*",
        # products wait for each other's threads in a loop, which counts as CPU on a busy machine
        "OPENBLAS_NUM_THREADS": "1",
    }
