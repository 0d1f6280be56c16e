"""Random Jinja templates and rows: names that are shadowed, loops in macros, texts cut at every place."""

from __future__ import annotations

import random
from typing import Any

TEXTS = [
    "",
    "a",
    "n",
    "ab ",
    " x",
    "\n",
    "\\n",
    "\\",
    '"',
    "u001c",
    "\x1f",
    "\t z",
    "é",
    "漢😀",
    "\u2028",
    "'",
    "{}",
]
KEYS = ["role", "content", "name", "n", "f", "tool_calls", "arguments", "b", "items", "count"]
TESTS = [
    "defined",
    "undefined",
    "none",
    "string",
    "mapping",
    "iterable",
    "sequence",
    "number",
    "boolean",
    "true",
    "integer",
]
LOOPS = ["index", "index0", "first", "last", "length", "revindex", "previtem", "nextitem"]


class Fuzzer:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.macros: list[tuple[str, int]] = []
        self.in_loop = 0

    def pick(self, *choices: Any) -> Any:
        return self.rng.choice(choices)

    def text(self) -> str:
        spelled = self.rng.choice(TEXTS).replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
        return f"'{spelled}'"

    def expression(self, depth: int) -> str:
        """Of any type, and mostly without an error."""
        return self.pick(self.string, self.string, self.number, self.truth, self.items, self.anything)(depth)

    def string(self, depth: int) -> str:
        if depth <= 0:
            return self.pick(self.text(), "m.content|string", "m.role", "x|string", "ns.b|string")
        s = lambda: self.string(depth - 1)  # noqa: E731
        return self.pick(
            lambda: f"({s()} {self.pick('+', '~')} {s()})",
            lambda: f"({self.text()} ~ {self.expression(depth - 1)} ~ {s()})",
            lambda: f"({s()})[{self.pick('', '1', '-2')}:{self.pick('', '2', '-1')}]",
            lambda: f"({s()}).{self.pick('strip', 'lstrip', 'rstrip')}({self.pick('', self.text())})",
            lambda: f"({s()}).replace({self.pick(self.text(), s())}, {s()})",
            lambda: f"({s()}).split({self.text()})[{self.pick('0', '-1')}]",
            lambda: f"({s()})|{self.pick('trim', 'upper', 'lower', 'title', 'capitalize')}",
            lambda: f"({self.expression(depth - 1)})|{self.pick('string', 'tojson', 'tojson(indent=2)')}",
            lambda: f"({s()} if {self.truth(depth - 1)} else {s()})",
            lambda: f"({s()} + ({s()}|safe if {self.truth(depth - 1)} else '<') + {self.text()})",
            lambda: f"({self.items(depth - 1)})|join({self.text()})",
            lambda: self.call(depth) or s(),
        )()

    def number(self, depth: int) -> str:
        if depth <= 0:
            return self.pick("0", "1", "-3", "messages|length", "m|length", "ns.a|string|length")
        n = lambda: self.number(depth - 1)  # noqa: E731
        loop = f"loop.{self.rng.choice(LOOPS[:6])}" if self.in_loop else "2"
        return self.pick(
            lambda: f"({n()} {self.pick('+', '-', '*')} {n()})",
            lambda: f"({n()} {self.pick('%', '//')} {self.pick('2', '3')})",
            lambda: f"({self.string(depth - 1)})|length",
            lambda: f"({self.anything(depth - 1)})|int",
            lambda: loop,
        )()

    def truth(self, depth: int) -> str:
        if depth <= 0:
            return self.pick(
                "true", "false", "m.role == 'user'", "x is defined", "tools", "m.name is defined"
            )
        any_ = lambda: self.expression(depth - 1)  # noqa: E731
        t = lambda: self.truth(depth - 1)  # noqa: E731
        s = lambda: self.string(depth - 1)  # noqa: E731
        loop = f"loop.{self.pick('first', 'last')}" if self.in_loop else "none"
        return self.pick(
            lambda: f"({t()} {self.pick('and', 'or')} {any_()})",
            lambda: f"(not {any_()})",
            lambda: f"({any_()} {self.pick('==', '!=')} {any_()})",
            lambda: f"({self.pick(s, self.number)() if False else s()} {self.pick('in', 'not in')} {s()})",
            lambda: f"({any_()} in {self.items(depth - 1)})",
            lambda: f"({self.number(depth - 1)} {self.pick('<', '>=', '>', '<=')} {self.number(depth - 1)})",
            lambda: f"({s()} {self.pick('<', '>=')} {s()})",
            lambda: f"({any_()} is {self.pick('', 'not ')}{self.rng.choice(TESTS)})",
            lambda: f"({s()}).{self.pick('startswith', 'endswith')}({self.text()})",
            lambda: loop,
        )()

    def items(self, depth: int) -> str:
        if depth <= 0:
            return self.pick("messages", "messages", "[]", "[m]", "(tools or [])", "('a', x)")
        i = lambda: self.items(depth - 1)  # noqa: E731
        return self.pick(
            lambda: f"[{self.expression(depth - 1)}, {self.expression(depth - 1)}]",
            lambda: f"({i()})[{self.pick('', '1', '-2', '5')}:{self.pick('', '2', '-1', '::-1', ':2')}]",
            lambda: f"(({i()})|list + ({i()})|list)",
            lambda: f"({self.string(depth - 1)}).split({self.pick('', self.text())})",
            lambda: f"messages|{self.pick('selectattr', 'rejectattr')}('role', 'equalto', 'user')|list",
            lambda: f"messages|map(attribute='{self.pick('role', 'content', 'nothing')}')|list",
            lambda: f"(m{self.pick('.items()', '', '.keys()', '.values()', '|dictsort')})|list",
            lambda: f"({i()})|reverse|list",
        )()

    def anything(self, depth: int) -> str:
        if depth <= 0:
            return self.pick("none", "x", "y", "m", "m.content", "ns.a", "messages[0]", "m['n']", "tools")
        any_ = lambda: self.expression(depth - 1)  # noqa: E731
        previous = f"loop.{self.pick('previtem', 'nextitem')}" if self.in_loop else "m.f"
        return self.pick(
            lambda: f"m.{self.rng.choice(KEYS)}",
            lambda: f"({any_()})[{any_()}]",
            lambda: f"({any_()} {self.pick('and', 'or')} {any_()})",
            lambda: f"({any_()} if {self.truth(depth - 1)}{self.pick('', f' else {any_()}')})",
            lambda: f"({any_()})|default({any_()}{self.pick('', ', true')})",
            lambda: f"{{'b': {any_()}, 'role': {any_()}}}",
            lambda: f"m.get({self.pick(self.text(), repr(self.rng.choice(KEYS)))}, {any_()})",
            lambda: f"({self.items(depth - 1)})|{self.pick('first', 'last', 'length')}",
            lambda: previous,
        )()

    def call(self, depth: int) -> str:
        if not self.macros:
            return ""
        name, count = self.rng.choice(self.macros)
        arguments = [self.expression(depth - 1) for _ in range(self.rng.randrange(count + 1))]
        return f"{name}({', '.join(arguments)})"

    def statement(self, depth: int) -> str:
        e = lambda: self.expression(self.rng.randrange(3))  # noqa: E731
        kind = self.rng.randrange(14)
        if kind <= 3 or depth <= 0:
            return self.pick("{{ " + e() + " }}", "{{ " + e() + " }}", "lit\n", self.rng.choice(TEXTS[:6]))
        body = lambda: self.body(depth - 1)  # noqa: E731
        if kind <= 5:
            return f"{{% set {self.pick('x', 'y', 'z', 'm')} = {e()} %}}"
        if kind == 6:
            return f"{{% set ns.{self.pick('a', 'b')} = {e()} %}}"
        if kind == 7:
            middle = f"{{% elif {e()} %}}{body()}" if self.rng.random() < 0.4 else ""
            return f"{{% if {e()} %}}{body()}{middle}{{% else %}}{body()}{{% endif %}}"
        if kind in (8, 9):
            return self.loop(depth)
        if kind == 10:
            return f"{{% set {self.pick('x', 'y')} %}}{body()}{{% endset %}}"
        if kind == 11:
            return f"{{% set ns = namespace(a={e()}) %}}"
        if kind == 12:
            return f"{{% with x = {e()} %}}{body()}{{% endwith %}}"
        if self.in_loop or len(self.macros) > 2:
            return f"{{% generation %}}{body()}{{% endgeneration %}}" if not self.in_loop else "{{ x }}"
        return self.macro(depth)

    def macro(self, depth: int) -> str:
        name, count = f"f{len(self.macros)}", self.rng.randrange(1, 3)
        self.macros.append((name, count))
        arguments = ["x", "y"][:count]
        if self.rng.random() < 0.4:
            arguments[-1] += f"={self.expression(1)}"
        outer, self.in_loop = self.in_loop, 0
        body = self.body(depth - 1)
        self.in_loop = outer
        return f"{{% macro {name}({', '.join(arguments)}) %}}{body}{{% endmacro %}}"

    def loop(self, depth: int) -> str:
        source = self.pick("messages", "messages", "tools or []", self.items(2), "range(3)", "m.items()", "m")
        target = "y, z" if source == "m.items()" else self.pick("m", "x", "z")
        condition = f" if {self.truth(1)}" if self.rng.random() < 0.25 else ""
        self.in_loop += 1
        body = self.body(depth - 1)
        away = self.pick("break", "continue")
        leave = self.pick("", "", f"{{% if {self.truth(1)} %}}{{% {away} %}}{{% endif %}}")
        self.in_loop -= 1
        otherwise = f"{{% else %}}{self.body(depth - 1)}" if self.rng.random() < 0.2 else ""
        return f"{{% for {target} in {source}{condition} %}}{body}{leave}{otherwise}{{% endfor %}}"

    def body(self, depth: int) -> str:
        return "".join(self.statement(depth) for _ in range(self.rng.randrange(1, 4)))

    def template(self) -> str:
        begin = "{% set ns = namespace(a=0, b='') %}{% set m = messages[0] %}"
        begin += "{% set x = 'x' %}{% set y = m.content %}"
        return begin + "".join(self.statement(3) for _ in range(self.rng.randrange(2, 7)))


def value(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(9 if depth else 6)
    if kind <= 1:
        return "".join(rng.choice(TEXTS) for _ in range(rng.randrange(4)))
    if kind == 2:
        return rng.choice([0, 1, -7, 10**17, 123456789012345678901, -0])
    if kind == 3:
        return rng.choice([1.5, 0.25, -3.0, 0.5, 12.75, 1e22 if rng.random() < 0.1 else 0.0])
    if kind <= 5:
        return rng.choice([None, True, False])
    if kind == 6:
        return [value(rng, depth - 1) for _ in range(rng.randrange(4))]
    return {rng.choice([*KEYS, *TEXTS]): value(rng, depth - 1) for _ in range(rng.randrange(4))}


def row(rng: random.Random) -> dict[str, Any]:
    messages = []
    for _ in range(rng.randrange(1, 5)):
        content = "".join(rng.choice(TEXTS) for _ in range(rng.randrange(5)))
        content = content if rng.random() < 0.8 else value(rng, 1)
        message = {"role": rng.choice(["user", "assistant", "tool"]), "content": content}
        for _ in range(rng.randrange(3)):
            message[rng.choice([*KEYS[2:], "reasoning_content", "thinking", "reasoning"])] = value(rng, 2)
        messages.append(message)
    tools = rng.choice([None, [], [{"name": "f", "b": value(rng, 2)}], [value(rng, 2)]])
    return {"messages": messages} | ({} if rng.random() < 0.3 else {"tools": tools})
