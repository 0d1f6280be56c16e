"""JSON texts that a strict reader takes or refuses, and a judge that is not ours."""

from __future__ import annotations

import json
import random
from typing import Any, NoReturn

from hypothesis import strategies as st

from forge_gpu.fates import Reason

ACCEPTED = [
    b"{}", b"{ }", b'{"":""}', b'{"a":"\\u0000"}', b'{"a":"\\ud83d\\ude00\\uDBFF\\uDFFF\\uD800\\uDC00"}',
    b'{"a":[[],{},[{}]]}',
    b'{"a":-0,"b":0,"c":0.0,"d":1E5,"e":1e-400,"f":123456789012345678901234567890,"g":-0.5e+07}',
    b'{"a":true,"b":false,"c":null}', b'\t{ "a" :\t"b" , "c":1 } ', b'{"a":"\\"\\\\\\/\\b\\f\\n\\r\\t"}',
    b'{"a":1,"a":2}', b'{"a":"x","a":null}', b'{"a":null,"a":[1]}', b'{"\\u0061":1}',
    b'{"a":1,"\\u0061":"last"}', b'{"\\u00e9":1,"\xc3\xa9":2}', b'{"\\ud83d\\ude00":"face"}',
    b'{"\xf0\x9f\x98\x80":"face"}', b'{"\\"q\\"":1}', b'{"a":"\x7f"}',
    '{"a":"\u2028\ufeff\uffff\U0010ffff"}'.encode(), b'{"text_en":1,"text":2,"tex":3}',
    b'{"a":[1,{"b":[true,null,"]}"]}]}', b'{"a":"}","b":"]"}', b'{"a": {"a": 1}, "b": ["a"]}',
]  # fmt: skip
NOT_OBJECTS = [b"1", b'"a"', b"[]", b"null", b"true", b"-1.5e3", b'[{"a":1}]', b'"\\u00e9"', b"[1,[2]]"]
LONE_SURROGATES = [
    b'{"a":"\\ud800"}', b'{"a":"\\udc00"}', b'{"a":"\\ud800\\ud800\\udc00"}', b'{"a":"\\ud83dx\\ude00"}',
    b'["\\udfff"]', b'{"\\ud800":1}', b'{"a":["\\ud800\\n"]}',
    b'{"a":"\\udc00\\ud800"}', b'{"a":"\\ud800\\u0041"}', b'{"a":"\\ud800\\ud800"}',
]  # fmt: skip
BROKEN = [
    b"{", b"}", b"{]", b"[1}", b'{"c" 1}', b'{"a":1,}', b'{,"a":1}', b"[1,]", b"[,1]", b"[1,,2]", b'{"a"}',
    b'{"a":}', b"{a:1}", b"{'a':1}", b"{1:1}", b'{"a":1 "b":2}', b'{"a":1}}', b'{"a":1}{}', b'{"a":1} x',
    b'{"a":[1}]}', b'{"a":"b}', b'{"a":01}', b'{"a":-}', b'{"a":1.}', b'{"a":.5}', b'{"a":+1}', b'{"a":1e}',
    b'{"a":1e+}', b'{"a":0x1}', b'{"a":1_0}', b'{"a":-01}', b'{"a":2.e3}', b'{"a":- 1}', b'{"a":NaN}',
    b'{"a":Infinity}', b'{"a":-Infinity}', b'{"a":nul}', b'{"a":nulL}', b'{"a":True}', b'{"a":truee}',
    b'{"a":tru', b'{"a":"\\q"}', b'{"a":"\\u12g4"}', b'{"a":"\\u123"}', b'{"a":"\\U0041"}', b'{"a":"\\"}',
    b'{"a":"\\', b'{"a":"\\u', b'{"a":"\\ud83d\\u', b'{"a":"\\ud83d\\u12"}', b'{"a":"\t"}', b'{"a":"\x00"}',
    b'{"a":"\x1f"}', b'{"a\t":1}', b'{"a":1}\x00', b"\x00", b'{"a":\x0b1}', b'\xef\xbb\xbf{"a":1}',
    b'{"a":1}#', b"/**/{}", b'{"a":"x"\\n}', b'\\{"a":1}', b'{"a"::1}', b'{"a":1:2}', b'["a":1]', b'{"a",1}',
    b'{"a":[1,2', b'{"a":"b"c"}', b"abc", b'{"a":1.5.5}', b'{"a":1e5e5}', b'{"a":--1}', b'{"a":1-}', b'""""',
    b'{"a":"b""c":1}', b'{"a"b":1}', b'{"a\x00":1}',
]  # fmt: skip
NOT_UTF8 = [
    b'{"a":"\xff"}', b'{"a":"\xc3"}', b'{"a":"\xe4\xb8"}', b'{"a":"\xed\xa0\x80"}', b'{"a":"\xc0\x80"}',
    b'{"a":"\xf4\x90\x80\x80"}', b'{"\xff":1}', b'{"a":\xff}', b"\xff", b'{"a":"\x80"}',
    b'{"a":"\xf0\x8f\xbf\xbf"}', b'{"a":"\xe0\x9f\xbf"}', b'{"\xed\xa0\x80":1}',
    b'{"a":"\xf8\x88\x80\x80\x80"}', b'{"a":"\xf0\x9f\x98"}', b'[1}\xff', b'{"a":"\xc3\\u00e9"}',
    b'{"a":"\xe4"}\xb8\x80',
]  # fmt: skip
EVERY = ACCEPTED + NOT_OBJECTS + LONE_SURROGATES + BROKEN + NOT_UTF8

KEYS = ("a", "b", "text", "\u00e9", "\U0001f600", '"q"', "", "a\x00", 'a"b', "\ud800")
"""Keys to ask for; some of them only an escape can spell, and the last is none that a record can have."""


class Members(list[tuple[str, Any]]):
    """An object as json found it, equal keys and all."""


def judged_by_json(text: bytes) -> Reason:
    """What Python's own json module makes of one record, nesting aside."""

    def refuse(name: str) -> NoReturn:
        raise ValueError(name)

    try:
        value = json.loads(
            text.decode(), parse_constant=refuse, parse_int=str, parse_float=str, object_pairs_hook=Members
        )
    except UnicodeDecodeError:
        return Reason.INVALID_UTF8
    except ValueError:
        return Reason.INVALID_JSON
    if _holds_surrogate(value):
        return Reason.LONE_SURROGATE
    return Reason.NONE if isinstance(value, Members) else Reason.NOT_AN_OBJECT


def _holds_surrogate(value: Any) -> bool:
    if isinstance(value, str):
        return any("\ud800" <= c <= "\udfff" for c in value)
    return isinstance(value, list | tuple) and any(map(_holds_surrogate, value))


_LEAF = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12) | st.sampled_from(["x" * n for n in (60, 63, 64, 65, 130)])
    | st.sampled_from(["\\", '"', "\n" * 9, "é" * 40])
)  # fmt: skip
_VALUE = st.recursive(
    _LEAF,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS[:8]) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=8,
)
_RECORD = st.dictionaries(st.sampled_from(KEYS[:9]) | st.text(max_size=3), _VALUE, max_size=5)


@st.composite
def records(draw: st.DrawFn, broken: bool = True) -> bytes:
    """One record in some spelling; if `broken`, mostly with one or two bytes changed, cut or put in."""
    ascii_only, indent = draw(st.booleans()), draw(st.sampled_from([None, None, 1]))
    value = json.dumps(draw(_RECORD | _VALUE), ensure_ascii=ascii_only, indent=indent)
    text = bytearray(value.encode(errors="surrogatepass"))
    for _ in range(draw(st.integers(0, 2)) if broken else 0):
        mutate(text, draw(st.randoms(use_true_random=False)))
    return bytes(text)


def mutate(text: bytearray, rng: random.Random) -> None:
    """Change, remove or insert one byte, mostly one that means something to JSON."""
    at = rng.randrange(len(text) + 1)
    byte = rng.choice(
        b'{}[]",:\\ \t\r\n0129-+.eEunltf\x00\x1f\x7f\x80\xbf\xc3\xe4\xed\xf0\xff'
        + bytes([rng.randrange(256)])
    )
    text[at : at + rng.randrange(2)] = bytes([byte])[: rng.randrange(3)]
