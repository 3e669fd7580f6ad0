"""Mutation testing of the client's decisions: how many small faults in the code do the tests find?

    python tests/mutate.py                    a sample of 400 mutants (make mutate)
    python tests/mutate.py --sample 0         all of them (make soak has it so)
    python tests/mutate.py --seed 7 --sample 40 retry signing
    python tests/mutate.py --sample 0 coalesce.SharedCall.settle

mutmut makes the mutants. The tests are collected once, in a process that is forked for each mutant;
it runs those that reach the mutant's function until one fails. Mutants that change
nothing but the text of an error or of a log line are left out: texts may be reworded. A mutant that
no test can find, because the program does the same with it, is listed in
EQUIVALENT with the reason.
Exits with 1 where fewer than 92 % of the others are found. Works in the folder `mutants`, which is
kept for the next time; what is edited meanwhile does not matter.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
ROOT = Path(__file__).parents[1]
MUTANTS = ROOT / "mutants"
WANTED = 92.0  # per cent
# the tests that are to find the mutants; those of files that read the package's source see the
# mutants there
TESTS = (
    "tests/unit/client",
    "tests/unit/records",
    "tests/unit/llama_index",
    "tests/golden",
    "tests/property/test_retry.py",
    "tests/property/test_signing.py",
    "tests/property/test_fetch_merge.py",
)
NOT_TESTS = ("tests/unit/client/test_errors.py",)

# By the mutant's function and its changed line: the reason why it does what the original does.
EQUIVALENT: dict[tuple[str, str], str] = {}

_LONGEST_LOOK = 1800  # seconds
# Words for people stand in these: log lines whole, of errors the strings alone, for their other
# arguments decide (a kind, a status).
_LOG_CALLS = frozenset({"debug", "info", "warning", "exception", "isEnabledFor"})
_ERROR_CALLS = ("Error", "Message")
_TEXT_NAMES = frozenset({"text", "remedy", "sentence"})


@dataclass(frozen=True)
class Mutant:
    """One mutant: its name, the function that it changes, and the code before and after."""

    name: str
    function: str
    is_text: bool
    before: str
    after: str

    @property
    def module(self) -> str:
        """Return the module's name without the package's."""
        return self.name.split(".x", 1)[0].removeprefix("oss_vector_retriever.")

    @property
    def change(self) -> tuple[str, str]:
        """Return what EQUIVALENT names it by."""
        changed = [
            line[2:].strip()
            for line in difflib.ndiff(self.before.splitlines(), self.after.splitlines())
            if line.startswith("+ ")
        ]
        return self.function, " ".join(changed)


def main() -> int:
    """Run mutants, print those that no test finds, and return 1 where too many are left."""
    options = _options()
    _generate()
    mutants = [mutant for mutant in find_mutants() if options.covers(mutant)]
    tried = [mutant for mutant in mutants if not mutant.is_text]
    print(f"{len(mutants)} mutants, {len(mutants) - len(tried)} of them of texts and log lines")
    if options.sample and options.sample < len(tried):
        tried = sorted(random.Random(options.seed).sample(tried, options.sample), key=str)
        print(f"a sample of {len(tried)}, seed {options.seed}")
    return _report(mutants, tried, _run(tried, options.jobs))


class _Options(argparse.Namespace):
    sample: int
    seed: int
    jobs: int
    modules: list[str]

    def covers(self, mutant: Mutant) -> bool:
        return not self.modules or any(
            f".{part}." in f".{mutant.function}." for part in self.modules
        )


def _options() -> _Options:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=400, help="how many; 0 for all")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    parser.add_argument("modules", nargs="*", help="such as retry or client.flow; default all")
    return parser.parse_args(namespace=_Options())


def _generate() -> None:
    for path in MUTANTS.glob("**/*.py"):  # those of unchanged files stay
        if not (ROOT / path.relative_to(MUTANTS)).exists():
            path.unlink()
    # mutmut has no command for it: a run makes the mutants and tries them at once
    script = (
        "from mutmut import __main__ as m; m.set_mutant_under_test('mutant_generation'); "
        "m.makedirs(m.Path('mutants'), exist_ok=True); m.copy_src_dir(); m.copy_also_copy_files(); "
        "m.setup_source_paths(); m.create_mutants(2)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def _run(tried: list[Mutant], jobs: int) -> dict[str, str | None]:
    """Return by each mutant's name the test that finds it, or None."""
    asked, answer = MUTANTS / "asked.json", MUTANTS / "found.json"
    asked.write_text(json.dumps({"names": [mutant.name for mutant in tried], "jobs": jobs}))
    script = "import sys; sys.path[:0] = ['', 'tests']; import mutate; mutate.play()"
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], cwd=MUTANTS, check=True)
    found: dict[str, str | None] = json.loads(answer.read_text())
    return found


def _report(mutants: list[Mutant], tried: list[Mutant], found: dict[str, str | None]) -> int:
    survivors = [mutant for mutant in tried if found[mutant.name] is None]
    equivalent = [mutant for mutant in survivors if mutant.change in EQUIVALENT]
    for mutant in survivors:
        if mutant not in equivalent:
            print(f"\n{mutant.name}")
            lines = difflib.unified_diff(
                mutant.before.splitlines(), mutant.after.splitlines(), lineterm="", n=1
            )
            print("\n".join(list(lines)[2:]))
    print(f"\n{'':28}{'mutants':>9}{'of texts':>9}{'tried':>9}{'found':>9}{'equal':>9}{'left':>9}")
    modules = sorted({mutant.module for mutant in mutants})
    shares = [
        _line(
            module,
            *(
                [m for m in ms if m.module == module]
                for ms in (mutants, tried, survivors, equivalent)
            ),
        )
        for module in modules
    ]
    share = _line("all", mutants, tried, survivors, equivalent)
    return 0 if share >= WANTED else 1


def _line(
    name: str,
    mutants: list[Mutant],
    tried: list[Mutant],
    survivors: list[Mutant],
    equivalent: list[Mutant],
) -> float:
    """Print the figures of some mutants, and return how many per cent are found."""
    count, found = len(tried) - len(equivalent), len(tried) - len(survivors)
    share = 100 * found / count if count else 100.0
    texts = sum(mutant.is_text for mutant in mutants)
    figures = (len(mutants), texts, len(tried), found, len(equivalent), count - found)
    print(f"{name:28}{''.join(f'{figure:9}' for figure in figures)}{share:8.1f} %")
    return share


def play() -> None:
    """Try the mutants that are asked for; in the folder `mutants`, in a process of its own."""
    import pytest

    asked = json.loads(Path("asked.json").read_text())
    player = _Player(asked["names"], asked["jobs"])
    options = ["-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--capture=no", "--maxfail=1"]
    ignored = [f"--ignore={name}" for name in NOT_TESTS]
    pytest.main([*options, *ignored, "--hypothesis-seed=0", *TESTS], plugins=[player])
    Path("found.json").write_text(json.dumps(player.found))


class _Player:
    """A plugin of pytest that runs the collected tests for each mutant, in a fork of the process."""

    def __init__(self, names: list[str], jobs: int) -> None:
        self.names = names
        self.jobs = jobs
        self.found: dict[str, str | None] = {}
        self._seen = Path("seen.json")
        # by function: which tests reach it, and how long they take
        self._reaching: defaultdict[str, dict[int, float]] = defaultdict(dict)
        self._finders: defaultdict[str, list[int]] = defaultdict(list)

    def pytest_runtestloop(self, session: Any) -> bool:
        """Run the tests once without a mutant, and then those that reach each mutant's function."""
        began = time.monotonic()
        seen = self._seen_before(session)
        rest = [number for number, item in enumerate(session.items) if item.nodeid not in seen]
        shares = [share for at in range(self.jobs) if (share := rest[at :: self.jobs])]
        for _, written in self._fork(
            shares, lambda share: self._look(session, share), lambda _: _LONGEST_LOOK
        ):
            seen |= json.loads(written or "{}")
        self._seen.write_text(json.dumps({"of": self._state(session), "seen": seen}))
        for number, item in enumerate(session.items):
            seconds, functions = seen.get(item.nodeid, (0.0, ()))
            for function in functions:
                self._reaching[function][number] = seconds
        print(f"\n{len(session.items)} tests in {time.monotonic() - began:.0f} s", flush=True)
        for name, written in self._fork(
            self.names, lambda name: self._try(session, name), self._most_seconds
        ):
            # a mutant that kills the process, or does not come to an end, is found
            number = None if written is None else json.loads(written)
            self.found[name] = "" if written is None else number
            if isinstance(number, int):
                self.found[name] = session.items[number].nodeid
                finders = self._finders[_function_of(name)]
                with contextlib.suppress(ValueError):
                    finders.remove(number)
                finders.insert(0, number)
        print(f"{len(self.names)} mutants in {time.monotonic() - began:.0f} s", flush=True)
        return True

    def _seen_before(self, session: Any) -> dict[str, Any]:
        """Return what an earlier run has seen of tests whose files are the same."""
        state = self._state(session)
        kept = json.loads(self._seen.read_text()) if self._seen.exists() else {"of": {}, "seen": {}}
        if kept["of"].get("") != state[""]:  # the package has changed
            return {}
        same = {name for name, digest in state.items() if kept["of"].get(name) == digest}
        return {name: it for name, it in kept["seen"].items() if name.partition("::")[0] in same}

    def _state(self, session: Any) -> dict[str, str]:
        # the digests of the files of the tests, and under "" that of the package
        package = (path.read_bytes() for path in sorted(Path("oss_vector_retriever").rglob("*.py")))
        files = {item.nodeid.partition("::")[0] for item in session.items}
        digests = {name: sha256(Path(name).read_bytes()).hexdigest() for name in files}
        return {"": sha256(b"".join(package)).hexdigest(), **digests}

    def _look(self, session: Any, numbers: list[int]) -> str:
        """Return how long each test takes, and which functions it reaches."""
        from mutmut.mutation.trampoline import set_mutant_under_test
        from mutmut.state import state

        set_mutant_under_test("stats")
        seen = {}
        for number in numbers:
            state()._stats.clear()
            began, failed = time.monotonic(), session.testsfailed
            self._run(session, number, numbers[-1] == number)
            if session.testsfailed > failed:  # it is of no use then
                os.write(2, f"fails without a mutant: {session.items[number].nodeid}\n".encode())
            else:
                seen[session.items[number].nodeid] = (
                    time.monotonic() - began,
                    sorted(state()._stats),
                )
        return json.dumps(seen)

    def _try(self, session: Any, name: str) -> str:
        """Return the number of the first test that finds a mutant, or null."""
        from mutmut.mutation.trampoline import set_mutant_under_test

        set_mutant_under_test(name)
        seconds = self._reaching[_function_of(name)]
        finders = self._finders[_function_of(name)]
        # those that have found others in the same function come first, then the shortest
        for number in [*finders, *sorted(seconds.keys() - set(finders), key=seconds.__getitem__)]:
            self._run(session, number, last=False)
            if session.testsfailed:
                return json.dumps(number)
        return "null"

    def _run(self, session: Any, number: int, last: bool) -> None:
        item = session.items[number]
        # with itself as the next, what is set up for many tests stays
        session.config.hook.pytest_runtest_protocol(item=item, nextitem=None if last else item)

    def _most_seconds(self, name: str) -> float:
        return 30 + 10 * sum(self._reaching[_function_of(name)].values())

    def _fork(
        self, tasks: Sequence[T], do: Callable[[T], str], most_seconds: Callable[[T], float]
    ) -> Iterator[tuple[T, str | None]]:
        """Do tasks in forks, some at a time, and yield what each wrote; None where it died."""
        rest, running = list(reversed(tasks)), dict[int, tuple[T, float]]()
        while rest or running:
            while rest and len(running) < self.jobs:
                task = rest.pop()
                running[_fork_for(task, do)] = task, time.monotonic() + most_seconds(task)
            time.sleep(0.01)
            for pid, (task, until) in list(running.items()):
                if time.monotonic() > until:
                    os.kill(pid, signal.SIGKILL)
                if os.waitpid(pid, os.WNOHANG)[0]:
                    del running[pid]
                    answer = Path(f"answer-{pid}")
                    yield task, answer.read_text() if answer.exists() else None
                    answer.unlink(missing_ok=True)


def _fork_for(task: T, do: Callable[[T], str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        answer = Path(f"answer-{os.getpid()}")
        text = do(task)
        half = answer.with_suffix(".half")
        half.write_text(text)
        half.rename(answer)
    finally:
        os._exit(0)  # nothing of the parent's is flushed or told twice


def _function_of(name: str) -> str:
    return name.rpartition("__mutmut_")[0]


def find_mutants() -> Iterator[Mutant]:
    """Read all mutants from the code that mutmut has written."""
    for meta in sorted(MUTANTS.rglob("*.meta")):
        path = meta.with_suffix("")
        module = ".".join(path.relative_to(MUTANTS).with_suffix("").parts)
        functions = {
            node.name: node
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "__mutmut_" in node.name
        }
        for name, node in functions.items():
            base, _, number = name.rpartition("__mutmut_")
            if number == "orig":
                continue
            original = functions[f"{base}__mutmut_orig"]
            function = f"{module}.{base.removeprefix('x').replace('ǁ', '.').strip('._')}"
            before, after = _code_of(original), _code_of(node)
            yield Mutant(f"{module}.{name}", function, changes_text(original, node), before, after)


def _code_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return "\n".join(ast.unparse(statement) for statement in function.body)


def changes_text(original: ast.AST, mutated: ast.AST) -> bool:
    """Tell whether all that differs is the text of an error or of a log line."""
    return all(_is_text(way) for way in _differences(original, mutated, ()))


def _differences(
    one: object, other: object, way: tuple[ast.AST, ...]
) -> Iterator[tuple[ast.AST, ...]]:
    # for each place where the trees part, the nodes of the original that lead to it
    if isinstance(one, ast.AST) and type(one) is type(other):
        for name, value in ast.iter_fields(one):
            if not (name == "name" and isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)):
                yield from _differences(value, getattr(other, name), (*way, one))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for left, right in zip(one, other, strict=True):
            yield from _differences(left, right, way)
    elif one != other or type(one) is not type(other):
        yield (*way, one) if isinstance(one, ast.AST) else way


def _is_text(way: tuple[ast.AST, ...]) -> bool:
    words = isinstance(way[-1], ast.JoinedStr) or (
        isinstance(way[-1], ast.Constant) and isinstance(way[-1].value, str)
    )
    for node in way:
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in _LOG_CALLS or (words and name.endswith(_ERROR_CALLS)):
                return True
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if words and any(
            isinstance(target, ast.Name) and target.id in _TEXT_NAMES for target in targets
        ):
            return True
    return False


if __name__ == "__main__":
    sys.exit(main())
