# SPDX-License-Identifier: BSD-2-Clause
"""Whatever our TOML reader accepts, Python's tomllib accepts with the same values.

The reader is compiled into a small program (tomldump.c) with sanitizers. It reads the shipped configurations, the
fuzzer's corpus, a list of corner cases, and documents that a seeded generator writes: valid ones, and the same ones
with a few characters changed.
"""

import json
import os
import pathlib
import random
import subprocess
import tomllib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = [
    "tests/unit/tomldump.c",
    "hv/toml.c",
    "hv/toml_lexer.c",
    "hv/toml_scalar.c",
    "hv/diagnostic.c",
    "hv/format.c",
]
FLAGS = ["-std=gnu11", "-g", "-O1", "-I.", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]


@pytest.fixture(scope="module")
def tomldump(tmp_path_factory):
    program = tmp_path_factory.mktemp("tomldump") / "tomldump"
    compiler = os.environ.get("HOSTCC", "gcc")
    subprocess.run([compiler, *FLAGS, *SOURCES, "-o", str(program)], cwd=ROOT, check=True)
    return program


def run(program, paths):
    """What our reader says of each file: a list of entries, or None."""
    results = []
    paths = [str(path) for path in paths]
    for start in range(0, len(paths), 200):
        batch = paths[start : start + 200]
        done = subprocess.run([str(program), *batch], capture_output=True, check=True)
        lines = done.stdout.decode("utf-8").split("\n")[:-1]
        assert len(lines) == len(batch)
        results.extend(json.loads(line) for line in lines)
    return results


def run_documents(program, folder, documents):
    paths = []
    for number, document in enumerate(documents):
        path = folder / f"{number}.toml"
        path.write_bytes(document)
        paths.append(path)
    return run(program, paths)


def build(entries):
    """The nested dictionaries that the entries stand for."""
    root = {}
    for path, key, value in entries:
        table = root
        for name in path:
            table = table.setdefault(name, {})
        if key is not None:
            assert key not in table
            table[key] = value
    return root


def exact(value):
    """Comparable with types: in Python True == 1."""
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [exact(item) for item in value]
    return (type(value).__name__, value)


def check_same(document, entries):
    try:
        expected = tomllib.loads(document.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AssertionError(f"we accept {document!r}, tomllib says: {error}") from error
    assert exact(build(entries)) == exact(expected), document


def test_shipped_configurations(tomldump):
    paths = sorted((ROOT / "guests").glob("**/*.toml"))
    assert paths
    for path, entries in zip(paths, run(tomldump, paths)):
        assert entries is not None, f"{path} is refused"
        check_same(path.read_bytes(), entries)


def test_fuzz_corpus(tomldump):
    paths = sorted(path for path in (ROOT / "tests/fuzz/corpus/config").iterdir() if path.is_file())
    accepted = 0
    for path, entries in zip(paths, run(tomldump, paths)):
        if entries is not None:
            check_same(path.read_bytes(), entries)
            accepted += 1
    assert accepted > 0


ACCEPTED = [
    b"",
    b"\n",
    b"\r\n",
    b"# comment",
    b"a=1",
    b" \t a \t = \t 1 \t # c\r\n",
    b"-=1\n_=2\n1=3\n1979-05-27=4\ntrue=5",
    b"[a]\n[a.b]\n[c.d]\n[c]\nx=1\n",
    b"[ a . b ]\n[a.c]#x",
    b"[a.b.c]\n[a.b]\n[a]\n",
    b"a=[]\nb=[ ]\nc=[1,]\nd=[#x\n1#y\n,#z\n]",
    b"a=[1, 'x', true, \"y\"]",
    b"a=+0\nb=-0\nc=0x0\nd=0b0\ne=0o0\nf=1_2_3\ng=0xdead_BEEF\nh=+5",
    b"a=9223372036854775807\nb=-9223372036854775808",
    b"a=''\nb=\"\"\nc='\\'\nd='\"'\ne=\"'\"\nf='\t'\ng=\"\t\"",
    b'a="\\b\\t\\n\\f\\r\\"\\\\\\u0000\\u00e9\\uD7FF\\ue000\\U0010FFFF"',
    "a='é€😀\U0010ffff\ufeff\u2028\u0085'".encode(),
    b"a='\xc2\x80'",
    b"a='#' # '",
]

REFUSED_BY_BOTH = [
    b"\xef\xbb\xbfa=1",
    b"a=1 b=2",
    b"a=",
    b"a",
    b"=1",
    b"a=1\ra=2",
    b"a=1\r",
    b"a=1\x00",
    b"#\x7f",
    b"#\x80",
    b"a='\xed\xa0\x80'",
    b"a='\n'",
    b'a="\\x41"',
    b'a="\\ud800"',
    b'a="\\U00110000"',
    b"a=01",
    b"a=1__0",
    b"a=_1",
    b"a=1_",
    b"a=0x",
    b"a=+0x1",
    b"a=[,]",
    b"a=[1,,2]",
    b"a=[1 2]",
    b"a=[1",
    b"[a]\n[a]",
    b"a=1\na=1",
    b"a=1\n[a]",
    b"[a]\nb=1\n[a.b]",
    b"[a.b]\n[a]\nb=1",
    b"[a",
    b"[]",
    b"[a.]",
    b"[a]b=1",
]

# TOML that we do not take: refused by ours alone.
REFUSED_BY_US = [
    b"a=1.5",
    b"a=1e5",
    b"a=inf",
    b"a=-nan",
    b"a=1979-05-27",
    b"a=1979-05-27 07:32:00",
    b"a=07:32:00",
    b"a={b=1}",
    b"a=[[1]]",
    b"a=[{}]",
    b"a.b=1",
    b"'a'=1",
    b'"a"=1',
    b"['a']",
    b"[[a]]",
    b"[a.b.c.d.e]",
    b"a='''x'''",
    b'a="""x"""',
    b"a=9223372036854775808",
]


def test_accepted(tomldump, tmp_path):
    for document, entries in zip(ACCEPTED, run_documents(tomldump, tmp_path, ACCEPTED)):
        assert entries is not None, document
        check_same(document, entries)


def test_refused(tomldump, tmp_path):
    documents = REFUSED_BY_BOTH + REFUSED_BY_US
    for document, entries in zip(documents, run_documents(tomldump, tmp_path, documents)):
        assert entries is None, document
    for document in REFUSED_BY_BOTH:
        with pytest.raises((tomllib.TOMLDecodeError, UnicodeDecodeError)):
            tomllib.loads(document.decode("utf-8"))
    for document in REFUSED_BY_US:
        tomllib.loads(document.decode("utf-8"))


class Generator:
    """Writes valid documents of the subset, in as many ways as TOML has to write the same thing."""

    LETTERS = "abcxyzABZ019-_"
    CHARACTERS = "ab 019#=[]{},.'\\\t~éß€\u2028\ufeff😀"
    ESCAPES = ["\\b", "\\t", "\\n", "\\f", "\\r", '\\"', "\\\\", "\\u0041", "\\u00E9", "\\uffff", "\\U0001F600"]

    def __init__(self, seed):
        self.random = random.Random(seed)

    def chance(self, probability):
        return self.random.random() < probability

    def name(self):
        return "".join(self.random.choice(self.LETTERS) for _ in range(self.random.randint(1, 4)))

    def blank(self):
        return self.random.choice(["", "", " ", "\t", "  "])

    def line_end(self):
        comment = "#" + self.text("'\"") if self.chance(0.2) else ""
        return self.blank() + comment + self.random.choice(["\n", "\n", "\r\n", "\n\n", "\n \t\n"])

    def text(self, more=""):
        return "".join(self.random.choice(self.CHARACTERS + more) for _ in range(self.random.randint(0, 6)))

    def string(self):
        if self.chance(0.4):
            return "'" + self.text('"').replace("'", "") + "'"
        parts = [self.text("'").replace("\\", ""), self.random.choice(self.ESCAPES), self.text().replace("\\", "")]
        return '"' + "".join(self.random.sample(parts, self.random.randint(0, 3))) + '"'

    def integer(self):
        number = self.random.choice([0, 1, 7, 4096, self.random.getrandbits(63), self.random.getrandbits(20)])
        form = self.random.choice(["d", "d", "+", "-", "x", "X", "o", "b", "_"])
        if form == "_":
            return f"{number:_d}"
        if form in "+-":
            return f"{form}{number}"
        return {"d": "", "x": "0x", "X": "0x", "o": "0o", "b": "0b"}[form] + format(number, form)

    def scalar(self):
        return self.random.choice([self.string, self.integer, lambda: self.random.choice(["true", "false"])])()

    def space(self):
        return self.line_end() if self.chance(0.2) else self.blank()

    def array(self):
        elements = [self.space() + self.scalar() + self.space() for _ in range(self.random.randint(0, 4))]
        comma = "," + self.space() if elements and self.chance(0.3) else ""
        return "[" + ",".join(elements) + comma + self.space() + "]"

    def document(self):
        """May name a key or a table twice, as names are short: then both readers must refuse it."""
        lines = []
        for _ in range(self.random.randint(0, 7)):
            if self.chance(0.35):
                path = (self.blank() + "." + self.blank()).join(
                    self.random.choice(["a", "b", self.name()]) for _ in range(self.random.randint(1, 3))
                )
                line = self.blank() + "[" + self.blank() + path + self.blank() + "]"
            else:
                key = self.random.choice(["a", "b", self.name(), self.name()])
                value = self.array() if self.chance(0.3) else self.scalar()
                line = self.blank() + key + self.blank() + "=" + self.blank() + value
            lines.append(line + self.line_end())
        document = "".join(lines)
        return (document.rstrip("\r\n") if self.chance(0.3) else document).encode("utf-8")

    def mutate(self, document):
        """The same with some bytes changed, mostly to such that mean something."""
        data = bytearray(document)
        pieces = [b"[", b"]", b'"', b"'", b"\\", b"#", b"=", b".", b",", b"\n", b"\r", b"0", b"_", b"-", b"+", b"x",
                  b"e",
                  b" ", b"\t", b'"""', b"'''", b"{", b"}", b"\x00", b"\x7f", b"\x80", b"\xc3", b"\xef\xbb\xbf", b"1.5",
                  b"\\u", b"true", b"inf", b"a=1\n", b"[a]\n", b"\x0b", b"\x85", b":"]
        for _ in range(self.random.randint(1, 3)):
            at = self.random.randint(0, len(data))
            kind = self.random.random()
            if kind < 0.4:
                data[at:at] = self.random.choice(pieces)
            elif kind < 0.7:
                data[at : at + 1] = self.random.choice(pieces)
            else:
                del data[at : at + self.random.randint(1, 3)]
        return bytes(data)


@pytest.mark.parametrize("seed", range(4))
def test_generated_documents(tomldump, tmp_path, seed):
    generator = Generator(seed)
    documents = [generator.document() for _ in range(600)]
    accepted = 0
    for document, entries in zip(documents, run_documents(tomldump, tmp_path, documents)):
        if entries is not None:
            check_same(document, entries)
            accepted += 1
            continue
        with pytest.raises(tomllib.TOMLDecodeError):  # the generator writes nothing that only we refuse
            tomllib.loads(document.decode("utf-8"))
            pytest.fail(f"we alone refuse {document!r}")
    assert accepted > len(documents) // 2


@pytest.mark.parametrize("seed", range(4))
def test_changed_documents(tomldump, tmp_path, seed):
    generator = Generator(1000 + seed)
    documents = [generator.mutate(generator.document()) for _ in range(1500)]
    accepted = 0
    for document, entries in zip(documents, run_documents(tomldump, tmp_path, documents)):
        if entries is not None:
            check_same(document, entries)
            accepted += 1
    assert accepted > len(documents) // 50
