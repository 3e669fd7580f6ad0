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
# The tests that are to find the mutants of a module: those beside it, which are quick, for what is
# not found has them all run.
TESTS = {
    "client.": ("tests/unit/client", "tests/golden"),
    "records.": ("tests/unit/records",),
    "llama_index.": ("tests/unit/llama_index",),
}
# it reads the source of the package, and sees that of the mutants
NOT_TESTS = ("tests/unit/client/test_errors.py",)

_FALSY = "the value is only asked whether it is true"
_OVERWRITTEN = "the value is set before it is read"
_COST = "the same value, computed once more"
_NO_MATTER = "judge() has another opinion of calls that may not be repeated for other errors alone"
_FIPS = "MD5 is MD5, but for a Python that has none for security"
_EVEN = "all vectors of one reply have one dimension: the reader has seen to it"
_COUNTED = "run_all brings as many results as there are flows"
_SLOW_WAY = "what the quick way does not settle, the look at each item does"
_TOPIC = "a topic is only compared with other topics"
_WITHOUT_PARTS = "without parts all, and none, pass"
_THERE_AT_LEAST = "of a comparison that the service does not know it is asked whether there is one"
_ALGORITHM = "the names of algorithms and error handlers may be in either case"
# By the mutant's function and what is in its changed line: why it does what the original does.
EQUIVALENT = {
    ("client.coalesce._is_throttling", "idempotent=None"): _NO_MATTER,
    ("client.coalesce._is_throttling", "idempotent=False"): _NO_MATTER,
    ("client.coalesce.SharedCall.__init__", "self.reply_is_refused = None"): _FALSY,
    ("client.coalesce.SharedCall._guard", "error.unreadable = None"): _FALSY,
    ("client.coalesce.SharedCall.fail", "seconds = None"): (
        "the deadline's error is made anew, of the same attempts and seconds"
    ),
    ("client.fetch._answer", "served.calls >= 1"): _EVEN,
    ("client.fetch._answer", "complete = None"): _COST,
    ("client.fetch._answer", "if complete and False"): _COST,
    ("client.fetch._serve", "pending.calls >= 1"): _EVEN,
    ("client.fetch._serve", "zip(calls, replies):"): _COUNTED,
    ("client.fetch._serve", "strict=None"): _COUNTED,
    ("client.fetch._serve", "strict=False"): _COUNTED,
    ("client.flow._attempt", "context.clock.now(), None)"): _COST,
    ("client.flow._attempt", "context.clock.now())"): _COST,
    ("client.flow._attempt", "attempts.paused_for = ''"): _FALSY,
    ("client.flow._recover", "seconds >= attempts.policy.cap"): (
        "the pause is as long, by itself or with the whole client"
    ),
    ("client.flow._recover_clock_or_credentials", "or 'XXXX')"): "it is no date, either",
    ("client.flow._resolve_credentials", "deadline_error(None)"): (
        "credentials are still asked for then, and the same error is made"
    ),
    ("client.flow.signed_request", "microsecond=1"): "signatures have whole seconds",
    ("client.flow._headers", "origin.rpartition('://')"): "an origin has one ://",
    ("client.flow._headers", "usedforsecurity=None"): _FIPS,
    ("client.flow._headers", "usedforsecurity=True"): _FIPS,
    ("client.flow._headers", "md5(operation.body)"): _FIPS,
    ("client.flow.Attempts.__init__", "self.reply: Reply | None = ''"): _FALSY,
    ("client.flow.Attempts.__init__", "self.first_failure = None"): _OVERWRITTEN,
    ("client.flow.Attempts.__init__", "self.first_failure = 1.0"): _OVERWRITTEN,
    ("client.flow.Attempts.__init__", "self.paid = None"): "1 is given back for nothing paid",
    ("client.flow.Attempts.__init__", "self.paid = 1"): "1 is given back for nothing paid",
    ("client.flow.Attempts.__init__", "OSSVectorError | None = ''"): _FALSY,
    ("client.flow.Attempts.__init__", "self.credentials_renewed = None"): _FALSY,
    ("client.flow.Attempts.__init__", "self.clock_corrected = None"): _FALSY,
    ("client.flow.Attempts.__init__", "self.reuse_refused = "): _OVERWRITTEN,
    ("client.flow.Attempts.warn_of_throttling", "warn_once_a_minute("): _TOPIC,
    ("client.signing.SigningKey.__init__", "'SHA256'"): _ALGORITHM,
    ("client.signing.SigningKeys.key_of", "last[1] is credentials"): _COST,
    ("client.signing.SigningKeys.__init__", "SigningKey] | None = ''"): _FALSY,
    ("client.signing.Signable.canonical_request", "in self.query or True"): _COST,
    ("llama_index.filters._read", ", ())"): _WITHOUT_PARTS,
    ("records.conditions._negate", "Test(test.field, None, True)"): _THERE_AT_LEAST,
    ("records.conditions._negate", "Test(test.field, True)"): _THERE_AT_LEAST,
    ("client.wire._fields", "'XXXX'), validate=True"): "it is no error, either",
    ("client.wire._json_fields", "isinstance(value, dict) or True"): (
        "the text begins with a brace, and so is an object"
    ),
    ("client.wire._describe", "errors='REPLACE'"): _ALGORITHM,
    ("client.wire._redact", "range(len(form) + 1,"): "a word has no longer beginning than itself",
    ("client.wire.VectorReader.items", "_has_only_asked_keys(None)"): _SLOW_WAY,
    ("client.wire.VectorReader.vectors", "check_time is None and False"): _SLOW_WAY,
    ("client.wire.VectorReader._join", "item.get(None)"): _SLOW_WAY,
    ("client.wire.VectorReader._join", "item.get('XXmetadataXX')"): _SLOW_WAY,
    ("client.wire.VectorReader._join", "item.get('METADATA')"): _SLOW_WAY,
    ("client.wire.VectorReader._join", "<= {dict} and False"): _SLOW_WAY,
    ("client.wire.VectorReader._join", "< {dict} else"): _SLOW_WAY,
    ("client.wire.VectorReader._has_only_asked_keys", "set(None)"): _SLOW_WAY,
    ("client.wire.VectorReader._has_only_asked_keys", "set(map(None, items))"): _SLOW_WAY,
    ("client.wire.VectorReader._has_only_asked_keys", "set(map(_KEY, None))"): _SLOW_WAY,
    ("client.wire.VectorReader._has_only_asked_keys", "set(map(items))"): _SLOW_WAY,
    ("client.wire.VectorReader._has_only_asked_keys", "set(map(_KEY))"): _SLOW_WAY,
    ("client.wire.VectorReader._has_only_asked_keys", "keys < self"): _SLOW_WAY,
}

_LONGEST_LOOK, _SLOW = 1800, 0.3  # seconds
# Words for people stand in these: log lines whole, of errors the strings alone, for their other
# arguments decide (a kind, a status).
_LOG_CALLS = frozenset({"debug", "info", "warning", "exception", "isEnabledFor"})
_ERROR_CALLS = ("Error", "Message", "_error", "refuse")
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
    def is_equivalent(self) -> bool:
        """Tell whether EQUIVALENT lists it."""
        lines = difflib.ndiff(self.before.splitlines(), self.after.splitlines())
        changed = " ".join(line[2:].strip() for line in lines if line.startswith("+ "))
        name = self.function.removeprefix("oss_vector_retriever.")
        return any(name == function and part in changed for function, part in EQUIVALENT)


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
            part == mutant.name or f".{part}." in f".{mutant.function}." for part in self.modules
        )


def _options() -> _Options:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=400, help="how many; 0 for all")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    parser.add_argument(
        "modules", nargs="*", help="such as retry, flow.Attempts or a mutant; default all"
    )
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
    equivalent = [mutant for mutant in survivors if mutant.is_equivalent]
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
    os.environ.setdefault("SEED", "1")  # of tests that draw one
    tests = dict.fromkeys(folder for name in asked["names"] for folder in _tests_of(name))
    options = ["-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--capture=no", "--maxfail=1"]
    ignored = [f"--ignore={name}" for name in NOT_TESTS]
    pytest.main([*options, *ignored, "--hypothesis-seed=0", *tests], plugins=[player])
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
            left = "" if self.found[name] else f", left {name}"
            if left or len(self.found) % 100 == 0:
                print(f"{len(self.found)} of {len(self.names)}{left}", flush=True)
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
                if item.nodeid.startswith(_tests_of(function)):
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


def _tests_of(name: str) -> tuple[str, ...]:
    module = name.removeprefix("oss_vector_retriever.")
    return next(tests for folder, tests in TESTS.items() if module.startswith(folder))


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
            # without the numbers in their names; default values are changed, too
            original.name = node.name = base
            before, after = ast.unparse(original), ast.unparse(node)
            yield Mutant(f"{module}.{name}", function, changes_text(original, node), before, after)


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
