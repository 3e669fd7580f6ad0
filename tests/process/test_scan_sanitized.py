"""The compiled scan under AddressSanitizer and UBSan, on texts cut at every byte."""

import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from support.promises import sized
from support.scan_cases import Maker, exact, read

SOURCES = Path(__file__).parents[2] / "packages/oss-vector-scan/src"
COMPILER = os.environ.get("CC", "cc")
FLAGS = ["-g", "-O1", "-Wall", "-Wextra", "-Werror", "-std=c11"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
CASES = sized(200, 5_000, 50_000)
# as compiled here; with no instructions of x86; and a byte at a time
VARIANTS = sized([""], ["", "-U__SSE2__", "-U__BYTE_ORDER__"])


@pytest.fixture(scope="module", params=VARIANTS)
def harness(request, tmp_path_factory):
    if shutil.which(COMPILER) is None:
        pytest.skip("no C compiler")
    program = tmp_path_factory.mktemp("scan") / "harness"
    flags = [*FLAGS, *request.param.split(), *SANITIZERS]
    command = [COMPILER, *flags, f"-I{SOURCES}", "-o", program]
    done = subprocess.run(
        [*command, Path(__file__).with_name("scan_harness.c"), SOURCES / "scan.c"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and ("asan" in done.stderr or "sanitize" in done.stderr):
        pytest.skip("the compiler has no sanitizers")
    assert done.returncode == 0, done.stderr
    return program


def answers_of(harness, bodies):
    sent = b"".join(struct.pack("=I", len(body)) + body for body in bodies)
    done = subprocess.run([harness], input=sent, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    at, found = 0, []
    for _ in bodies:
        taken, count = struct.unpack_from("=II", done.stdout, at)
        at += 8 + 4 * count
        found.append((taken, done.stdout[at - 4 * count : at]))
    assert at == len(done.stdout)
    return found


@pytest.mark.promise("R8")
@pytest.mark.timeout(3600)
def test_no_beginning_of_a_text_is_read_beyond_its_end_or_taken_for_the_whole(harness, figure):
    seed = random.SystemRandom().getrandbits(32)
    print(f"\nseed {seed}")  # noqa: T201 - to repeat a failure
    maker = Maker(seed)
    bodies = [maker.reply() if number % 2 else maker.case() for number in range(CASES)]
    whole = 0
    for number, (body, (taken, numbers)) in enumerate(
        zip(bodies, answers_of(harness, bodies), strict=True)
    ):
        # Nothing but blanks behind the last brace can be cut off. Of a spoiled text, which may have
        # a brace for a bracket, more: whether what is left is JSON is not the scan's to judge.
        assert number % 2 == 0 or taken <= 1 + len(body) - len(body.rstrip(b" \t\r\n")), body
        if numbers and (without := read(body)) is not None:
            whole += 1
            packed = b"".join(data for _, data, _ in without[1])
            assert (
                numbers == packed or len(numbers) > len(packed) or numbers == b"".join(exact(body))
            )
    cut = sum(map(len, bodies))
    figure(f"{cut:,} texts, cut at every byte, under ASan and UBSan: no finding")
    assert whole > CASES // 10
