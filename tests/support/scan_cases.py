"""Hostile replies for what takes arrays out of them, made of a seed, and what must be read."""

import json
import random
import struct
import sys
from fractions import Fraction

from oss_vector_retriever import ResponseError
from oss_vector_retriever.client import wire
from oss_vector_retriever.client.models.messages import Reply

NO_NUMBERS = [
    *("NaN", "Infinity", "-Infinity", "null", "true", "false", '"1.0"', "[1.0]", "{}", "", "01"),
    *("1.", "-", "+1", ".5", "1e", "1e+", "0x10", "1 2", "1e400", "1e39", "3.4028236e38", "--1"),
    *("-01", "1.e5", "1.5.5", "1_0", "1,,2", "1]3", "\\u0031", "1\u0660", "1e5e5", "Ff", "1\x00"),
]
ODD_NUMBERS = [
    *("-0", "-0.0", "0e5", "-0e-5", "0.0e999", "1E5", "1e+5", "1e-400", "-1e-400", "1e-45"),
    *("7.0e-46", "7.1e-46", "1.1754943e-38", "1.17549435e-38", "3.4028234663852886e38"),
    *("3.4028235677973366e38", "-3.4028235e38", "7.038531e-26", "-7.038531e-26", "16777217"),
    *("8388608.5", "33554435", "1.00000005960464477540", "0.000000000000000000000000012345678"),
    *("18446744073709551616", "9223372036854775808", "100000000000000000000000", "9" * 400),
    *("1e0000005", "123456789012345678e-18", "0." + "0" * 60 + "1", "1" + "0" * 30, "1e12345"),
]
BLANKS = ["", "", "", "", " ", "\n", "\t\r", "  \n "]
ESCAPES = {"vectors": '"v\\u0065ctors"', "data": '"d\\u0061ta"', "float32": '"\\u0066loat32"'}
NEAR = {"vectors": '"Vectors"', "data": '"data "', "float32": '"float64"'}
STRINGS = [
    *(
        '"a"',
        '"[1.5,"',
        '"\\"[true]"',
        '"\\\\"',
        '"\\\\\\""',
        '"e"',
        '"]}"',
        '"\u00e9\\ud83d\\ude00"',
    ),
    *(
        '"vectors"',
        '{"data":{"float32":[1.5]}}',
        '"\\ud800"',
        '"data\\":{\\"float32\\":[1"',
        '"\x01"',
    ),
]
JUNK = b'{}[]",:\\ \n0123456789.eE+-truefalsn\x00\xff'


class Maker:
    """A maker of replies: most are right, many are nearly right."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.last = b"{}"

    def number(self):
        rng = self.rng
        kind = rng.random()
        if kind < 0.05:
            return rng.choice(NO_NUMBERS if kind < 0.004 else ODD_NUMBERS)
        if kind < 0.15:
            return str(rng.randrange(-(10 ** rng.randrange(1, 12)), 10 ** rng.randrange(1, 20)))
        if kind < 0.25:
            digits, power = rng.randrange(10 ** rng.randrange(1, 19)), rng.randrange(-50, 30)
            return f"{rng.choice(['', '-'])}{rng.randrange(10)}.{digits}e{power}"
        if kind < 0.35:
            return self.middle()
        if kind < 0.45:  # few digits, and as many as are certain
            whole = rng.randrange(10 ** rng.randrange(1, 5))
            decimals = rng.randrange(1, 21)
            return f"{rng.choice(['', '-'])}{whole}.{rng.randrange(10**decimals):0{decimals}}"
        value = struct.unpack("=f", struct.pack("=f", rng.gauss(0, 1)))[0]
        return rng.choice(["{!r}", "{:.9g}", "{:.6f}", "{:.17g}"]).format(value)

    def middle(self):
        """Write what lies next to the middle of two float32: through doubles it rounds twice."""
        rng = self.rng
        bits = rng.choice([rng.getrandbits(31) % 0x7F000000, 0x3C000000 + rng.getrandbits(26)])
        low, high = struct.unpack("=ff", struct.pack("=II", bits, bits + 1))
        middle = (low + high) / 2
        if 1e-6 < middle < 1e5:  # as most numbers are written, also with a zero too many
            return f"{rng.choice(['', '', '-', '0'])}{middle:.{rng.randrange(1, 25)}f}"
        return f"{middle:.{rng.randrange(8, 18)}e}"

    def blank(self):
        return self.rng.choice(BLANKS)

    def name(self, name):
        kind = self.rng.random()
        return ESCAPES[name] if kind < 0.01 else NEAR[name] if kind < 0.02 else f'"{name}"'

    def members(self, *members):
        """Write members in any order, with one of them twice now and then."""
        rng, written = self.rng, list(members)
        if rng.random() < 0.02:
            written.append(rng.choice(members))
        if rng.random() < 0.3:
            rng.shuffle(written)
        blank = self.blank
        inner = ",".join(f"{blank()}{n}{blank()}:{blank()}{v}{blank()}" for n, v in written)
        return f"{{{inner}}}"

    def value(self, depth=0):
        """Write what stands where nothing is looked at."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.5 or depth > 3:
            return rng.choice(STRINGS)
        if kind < 0.7:
            return rng.choice(["1", "-0.5e3", "true", "null", self.number()])
        if kind < 0.85:
            return f"[{','.join(self.value(depth + 1) for _ in range(rng.randrange(3)))}]"
        return self.members(('"float32"', self.value(depth + 1)), ('"data"', "[1.5]"))

    def item(self, place, dimension):
        rng = self.rng
        dimension += rng.random() < 0.004
        numbers = (f"{self.blank()}{self.number()}{self.blank()}" for _ in range(dimension))
        array = f"[{','.join(numbers)}]"
        if rng.random() < 0.02:
            array = rng.choice(
                [self.value(), "0", "1", f"{array}{rng.choice(['3', ' 3', '[]', 'e'])}"]
            )
        inside = [(self.name("float32"), array)]
        if rng.random() < 0.1:
            inside.append((rng.choice(['"x"', '"float32"', '"\\u0066loat32"']), self.value()))
        data = self.members(*inside) if rng.random() > 0.01 else self.value()
        members = [(rng.choice(['"key"'] * 50 + ['"k\\u0065y"']), f'"k{place}"')]
        members.append((self.name("data"), data))
        if rng.random() < 0.6:
            members.append(
                ('"metadata"', self.members(('"t"', self.value()), ('"u"', self.value())))
            )
        return self.members(*members)

    def reply(self):
        rng = self.rng
        dimension = rng.randrange(1, 7) if rng.random() < 0.9 else 30
        items = [self.item(place, dimension) for place in range(rng.randrange(1, 4))]
        if rng.random() < 0.02:
            items.append(rng.choice(["null", self.value()]))
        members = [(self.name("vectors"), f"[{','.join(items)}]")]
        if rng.random() < 0.2:
            members.append((rng.choice(['"x"', '"nextToken"', '"vectors"']), self.value()))
        text = f"{self.blank()}{self.members(*members)}{self.blank()}"
        return text.encode("utf-8", "surrogatepass")

    def case(self):
        """Return a reply, of three one that was spoiled."""
        body, rng = self.reply(), self.rng
        previous, self.last = self.last, body
        if rng.random() < 0.67:
            return body
        for _ in range(rng.choice([1, 1, 1, 2, 5])):
            at, kind = rng.randrange(len(body) + 1), rng.randrange(6)
            if kind == 0 and at < len(body):
                body = body[:at] + bytes([body[at] ^ 1 << rng.randrange(8)]) + body[at + 1 :]
            elif kind == 1:
                body = body[:at] + bytes([rng.choice(JUNK)]) + body[at:]
            elif kind == 2:
                body = body[:at] + body[at + rng.choice([1, 1, 2, 9]) :]
            elif kind == 3:
                body = body[:at] + previous[rng.randrange(len(previous) + 1) :]
            elif kind == 4:
                body = body[:at] + body[max(at - rng.randrange(20), 0) :]
            else:
                body = body[:at]
        return body


def read(body, scan=None, *, in_parts=False):
    """Return what the client reads out of a reply, by this scan or none; None for a refusal.

    Without a scan it is read as one value, or each array by itself, however short it is.
    """
    before, wire._compiled_scan = wire._compiled_scan, lambda: scan
    lengths = wire._LONG_TEXT, wire._LONG_ARRAY
    wire._LONG_TEXT, wire._LONG_ARRAY = (0, 0) if in_parts else (sys.maxsize, 0)
    try:
        reader = wire.VectorReader(
            Reply(200, {}, body), "ListVectors", with_data=True, with_metadata=True
        )
        members, vectors = reader.read()
    except ResponseError:
        return None
    finally:
        wire._compiled_scan = before
        wire._LONG_TEXT, wire._LONG_ARRAY = lengths
    others = {name: value for name, value in members.items() if name != "vectors"}
    return others, [(vector.key, vector.data.tobytes(), vector.metadata) for vector in vectors]


def exact(body):
    """Return the packed numbers of each vector, each rounded once from its text by integers."""
    value = json.loads(body, parse_float=str, parse_int=str)
    return [
        struct.pack(f"={len(texts)}I", *map(round_once, texts))
        for texts in (item["data"]["float32"] for item in value["vectors"])
    ]


def round_once(text):
    """Return the bits of the float32 nearest to a decimal text."""
    sign, value = text.startswith("-") << 31, abs(Fraction(text))
    if value == 0:
        return sign
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    exponent -= Fraction(2) ** exponent > value
    unit = max(exponent - 23, -149)
    bits = round(value / Fraction(2) ** unit)  # Python rounds a half to the even one
    return sign | (bits if exponent < -126 else ((exponent + 126) << 23) + bits)


def compare(body, scan):
    """Tell whether the scan takes a reply (True), and show that it reads what Python reads.

    Where they differ in a number, the scan must be right by exact arithmetic: Python goes through
    doubles, and rounds twice.
    """
    if scan(body) is None:
        return False
    with_scan, without = read(body, scan), read(body)
    if with_scan != without:
        assert without is not None, f"only the scan takes {body!r}"
        assert with_scan[0] == without[0], body
        assert [item[::2] for item in with_scan[1]] == [item[::2] for item in without[1]], body
        assert [item[1] for item in with_scan[1]] == exact(body), body
        ours, others = (b"".join(item[1] for item in found[1]) for found in (with_scan, without))
        for one, other in zip(
            *(memoryview(data).cast("I") for data in (ours, others)), strict=True
        ):
            assert abs(one - other) <= 1, body  # which no other sign is
    return True
