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
import difflib
import json
import os
import random
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

_LONGEST_LOOK, _SLOW = 1800, 0.3  # seconds
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
    return _report(mutants, tried, _play(tried, options.jobs))


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


def _play(tried: list[Mutant], jobs: int) -> dict[str, str | None]:
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
    for module in (*sorted({mutant.module for mutant in mutants}), ""):
        of_module = [
            [mutant for mutant in some if module in ("", mutant.module)]
            for some in (mutants, tried, survivors, equivalent)
        ]
        share = _line(module or "all", *of_module)
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
    import pytest  # noqa: PLC0415 - not in the process that prints

    asked = json.loads(Path("asked.json").read_text())
    player = _Player(asked["names"], asked["jobs"])
    options = ["-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--capture=no", "--maxfail=1"]
    ignored = [f"--ignore={name}" for name in NOT_TESTS]
    pytest.main([*options, *ignored, "--hypothesis-seed=0", *TESTS], plugins=[player])
    Path("found.json").write_text(json.dumps(player.found))


class _Player:
    """A plugin of pytest that runs the collected tests for each mutant, in a fork."""

    def __init__(self, names: list[str], jobs: int) -> None:
        self.names = names
        self.jobs = jobs
        self.found: dict[str, str | None] = {}
        self._items: list[Any] = []
        # by function: the numbers of the tests that reach it, and of those that found a mutant
        self._reaching: defaultdict[str, set[int]] = defaultdict(set)
        self._finders: defaultdict[str, list[int]] = defaultdict(list)
        self._seconds: dict[int, float] = {}
        self._functions: dict[int, int] = {}  # how many each test reaches
        self._reliable: set[int] = set()

    def pytest_runtestloop(self, session: Any) -> bool:
        """Run the tests once without a mutant, and then those that reach each mutant's function."""
        self._items, began = session.items, time.monotonic()
        self._look_at_tests()
        print(f"\n{len(self._items)} tests in {time.monotonic() - began:.0f} s", flush=True)
        began = time.monotonic()
        for name, answer in self._fork(self.names, self._try, self._most_seconds):
            # a mutant that kills the process, or does not come to an end, is found
            number = None if answer is None else json.loads(answer)
            self.found[name] = "its end" if answer is None else None
            if number is not None:
                self._note_finder(_function_of(name), number)
                self.found[name] = self._items[number].nodeid
            if len(self.found) % 100 == 0:
                print(f"{len(self.found)} of {len(self.names)} ...", flush=True)
        print(f"{len(self.names)} mutants in {time.monotonic() - began:.0f} s", flush=True)
        return True

    def _look_at_tests(self) -> None:
        """Learn which functions each test reaches, from an earlier run if its file is the same."""
        kept = Path("seen.json")
        seen: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
        states = self._digests()
        new = [
            n for n, item in enumerate(self._items) if item.nodeid not in seen.get(states[n], {})
        ]
        shares = [share for at in range(self.jobs) if (share := new[at :: self.jobs])]
        for share, answer in self._fork(shares, self._look, lambda _: _LONGEST_LOOK):
            looks = json.loads(answer or "[]")
            if len(looks) < len(share):
                sys.exit("the tests do not run through without a mutant")
            for number, look in zip(share, looks, strict=True):
                seen.setdefault(states[number], {})[self._items[number].nodeid] = look
        kept.write_text(json.dumps({state: seen[state] for state in set(states)}))
        for number, item in enumerate(self._items):
            seconds, functions = seen[states[number]][item.nodeid]
            self._seconds[number], self._functions[number] = seconds, len(functions)
            for function in functions:
                self._reaching[function].add(number)

    def _digests(self) -> list[str]:
        """Return for each test what stands for its file, the package and the tests' helpers."""
        folders = Path("oss_vector_retriever"), Path("tests/support")
        sources = sorted(path for folder in folders for path in folder.rglob("*.py"))
        package = sha256(b"".join(path.read_bytes() for path in sources))
        digests: dict[Path, str] = {}
        for item in self._items:
            if item.path not in digests:
                whole = package.copy()
                whole.update(item.path.read_bytes())
                digests[item.path] = whole.hexdigest()
        return [digests[item.path] for item in self._items]

    def _look(self, numbers: list[int]) -> str:
        """Return of each test how long it takes, and which functions it reaches."""
        from mutmut.mutation.trampoline import set_mutant_under_test  # noqa: PLC0415 - only there
        from mutmut.state import state  # noqa: PLC0415

        set_mutant_under_test("stats")
        looks: list[tuple[float, list[str]]] = []
        state()._stats.clear()
        began = time.monotonic()
        for number, failed in self._outcomes(numbers):
            if failed:  # it is of no use then
                said = f"fails without a mutant: {self._items[number].nodeid}\n"
                os.write(sys.stderr.fileno(), said.encode())
            functions = [] if failed else sorted(state()._stats)
            looks.append((time.monotonic() - began, functions))
            state()._stats.clear()
            began = time.monotonic()
        return json.dumps(looks)

    def _try(self, name: str) -> str:
        """Return the number of the first test that finds a mutant, or null."""
        from mutmut.mutation.trampoline import set_mutant_under_test  # noqa: PLC0415 - only there

        set_mutant_under_test(name)
        function = _function_of(name)
        # those that have found others in the function come first, then those that reach the fewest
        # functions, and the slow ones last
        finders = self._finders[function]
        rest = sorted(
            self._reaching[function].difference(finders),
            key=lambda number: (self._seconds[number] > _SLOW, self._functions[number]),
        )
        failing = (number for number, failed in self._outcomes([*finders, *rest]) if failed)
        return json.dumps(next(failing, None))

    def _note_finder(self, function: str, number: int) -> None:
        if number not in self._reliable:
            # it must be the mutant that it has found
            [(_, answer)] = self._fork([number], self._fails, lambda _: _LONGEST_LOOK)
            if answer != "false":
                sys.exit(f"fails without a mutant: {self._items[number].nodeid}")
            self._reliable.add(number)
        finders = self._finders[function]
        if number in finders:
            finders.remove(number)
        finders.insert(0, number)

    def _fails(self, number: int) -> str:
        [(_, failed)] = self._outcomes([number])
        return json.dumps(failed)

    def _outcomes(self, numbers: list[int]) -> Iterator[tuple[int, bool]]:
        """Run some of the tests, and yield of each whether it failed."""
        items = [self._items[number] for number in numbers]
        for number, item, following in zip(numbers, items, [*items[1:], None], strict=True):
            before = item.session.testsfailed
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            yield number, item.session.testsfailed > before

    def _most_seconds(self, name: str) -> float:
        return 30 + 10 * sum(self._seconds[number] for number in self._reaching[_function_of(name)])

    def _fork(
        self, tasks: Sequence[T], do: Callable[[T], str], most_seconds: Callable[[T], float]
    ) -> Iterator[tuple[T, str | None]]:
        """Do tasks in forks, some at a time, and yield what each answered; None where it died."""
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
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        written, answer = Path(f"written-{os.getpid()}"), Path(f"answer-{os.getpid()}")
        written.write_text(do(task))
        written.rename(answer)
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
            # x_function, xǁClassǁmethod
            function = f"{module}.{base.removeprefix('x_').removeprefix('xǁ').replace('ǁ', '.')}"
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
