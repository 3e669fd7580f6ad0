"""Mutation testing of the client's decisions: how many small faults in the code do the tests find?

    python tests/mutate.py                    a sample of 400 mutants (make mutate)
    python tests/mutate.py --sample 0         all of them (make soak has it so)
    python tests/mutate.py --seed 7 --sample 40 retry signing

mutmut makes the mutants, and runs for each the tests that reach its function. Mutants that change
nothing but the text of an error or of a log line are left out: texts may be reworded. A mutant that
no test can find, because the program does the same with it, is listed in
EQUIVALENT with the reason.
Exits with 1 where fewer than 92 % of the others are found. Works in the folder `mutants`, which is
removed first.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
MUTANTS = ROOT / "mutants"
WANTED = 92.0  # per cent

# By the mutant's function and its changed line: the reason why it does what the original does.
EQUIVALENT: dict[tuple[str, str], str] = {}

# Words for people stand in these: log lines whole, of errors the strings alone, for their other
# arguments decide (a kind, a status).
_LOG_CALLS = frozenset({"debug", "info", "warning", "exception", "isEnabledFor"})
_ERROR_CALLS = ("Error", "Message")
_TEXT_NAMES = frozenset({"text", "remedy", "sentence"})
# mutmut's own exit codes: the tests found it, or it ran on without an end
_FOUND = frozenset({1, 3, 24, 36, 152, 255, -24, -11, -9})


@dataclass(frozen=True)
class Mutant:
    """One mutant: its name, the line that it changes, and the code before and after."""

    name: str
    function: str
    is_text: bool
    before: str
    after: str

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
    shutil.rmtree(MUTANTS, ignore_errors=True)
    _generate()
    mutants = [mutant for mutant in find_mutants() if options.covers(mutant)]
    tried = [mutant for mutant in mutants if not mutant.is_text]
    print(f"{len(mutants)} mutants, {len(mutants) - len(tried)} of them of texts and log lines")
    if options.sample and options.sample < len(tried):
        tried = sorted(random.Random(options.seed).sample(tried, options.sample), key=str)
        print(f"a sample of {len(tried)}, seed {options.seed}")
    _run([mutant.name for mutant in tried], options.jobs)
    return _report(tried)


class _Options(argparse.Namespace):
    sample: int
    seed: int
    jobs: int
    modules: list[str]

    def covers(self, mutant: Mutant) -> bool:
        return not self.modules or mutant.name.split(".x", 1)[0].endswith(tuple(self.modules))


def _options() -> _Options:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=400, help="how many; 0 for all")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    parser.add_argument("modules", nargs="*", help="such as retry or client.flow; default all")
    return parser.parse_args(namespace=_Options())


def _generate() -> None:
    # mutmut has no command for it: a run makes the mutants and tries them at once
    script = (
        "from mutmut import __main__ as m; m.set_mutant_under_test('mutant_generation'); "
        "m.makedirs(m.Path('mutants'), exist_ok=True); m.copy_src_dir(); m.copy_also_copy_files(); "
        "m.setup_source_paths(); m.store_lines_covered_by_tests(); m.create_mutants(2)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def _run(names: list[str], jobs: int) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "mutmut", "run", "--max-children", str(jobs)]
    result = subprocess.run(
        [*command, *names], cwd=ROOT, check=False, capture_output=True, text=True, errors="replace"
    )
    if result.returncode:
        sys.exit(f"mutmut failed:\n{result.stdout[-4000:]}\n{result.stderr[-2000:]}")


def _report(tried: list[Mutant]) -> int:
    codes = _exit_codes()
    survivors = [mutant for mutant in tried if codes.get(mutant.name) not in _FOUND]
    equivalent = [mutant for mutant in survivors if mutant.change in EQUIVALENT]
    for mutant in survivors:
        if mutant not in equivalent:
            print(f"\n{mutant.name}")
            lines = difflib.unified_diff(
                mutant.before.splitlines(), mutant.after.splitlines(), lineterm="", n=1
            )
            print("\n".join(list(lines)[2:]))
    count = len(tried) - len(equivalent)
    found = len(tried) - len(survivors)
    share = 100 * found / count if count else 100.0
    left = Counter(m.name.split(".x", 1)[0] for m in survivors if m not in equivalent)
    print("\nnot found:", ", ".join(f"{module} {n}" for module, n in left.most_common()) or "none")
    print(
        f"{found} of {count} mutants found ({share:.1f} %), {len(equivalent)} equivalent ones apart"
    )
    return 0 if share >= WANTED else 1


def _exit_codes() -> dict[str, int | None]:
    codes: dict[str, int | None] = {}
    for path in MUTANTS.rglob("*.meta"):
        codes.update(json.loads(path.read_text())["exit_code_by_key"])
    return codes


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
