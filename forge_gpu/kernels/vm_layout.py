"""What the template VM's compiler, its reference and its kernels share: values, instructions, outcomes.

A value is a *cell* of two int64 words: `a`, and `n << 4 | type`. Constants, variables, members of lists and
of dicts are cells of one array. The members of a list lie one after another (a: the first cell, n: how many),
those of a dict as key, value, key, value (n pairs), so a slice of a list is another (a, n) over the same
cells.

A text is the body of a JSON string in the one spelling that Forge writes (a: its place, n: its bytes). In
that spelling equal texts are equal bytes, joining texts is joining bytes, and JSON output is a copy.

An instruction is five int32: the operation and operands a, b, c, d, which are numbers of cells unless said
otherwise below. `to` is the number of an instruction.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from forge_gpu.kernels.layout import I32, I64

UNDEFINED = 0  # a: 1 where an argument of a macro was not given
NONE = 1
BOOL = 2  # a: 0 or 1
INT = 3  # a: the number
BIGINT = 4  # an integer of more than 18 digits: a, n: how it is spelled, as a text
FLOAT = 5  # a, n: how Python spells it, as a text
TEXT = 6
SAFE = 7  # a text that jinja calls safe (Markup)
LIST = 8
TUPLE = 9
DICT = 10
ITEMS = 11  # the pairs of a dict: a, n as its dict
VIEW = 12  # what can be gone over but is no list to Python: as a list
NAMESPACE = 13  # a: its first attribute; all namespaces have a cell for each attribute of the template
MACRO = 14  # a: its number
FUNCTION = 15  # one of jinja's own functions, never looked into

TYPE_BITS = 4
TYPES = 1 << TYPE_BITS


def types(*members: int) -> int:
    """A set of types as a mask."""
    return sum(1 << member for member in members)


IS_TRUE, IS_FALSE = 1 << TYPES, 2 << TYPES  # beside BOOL: which of the two
EVERY = (1 << TYPES) - 1
TESTS = {
    "defined": EVERY - types(UNDEFINED),
    "undefined": types(UNDEFINED),
    "none": types(NONE),
    "boolean": types(BOOL),
    "true": types(BOOL) | IS_TRUE,
    "false": types(BOOL) | IS_FALSE,
    "integer": types(INT, BIGINT),
    "float": types(FLOAT),
    "number": types(BOOL, INT, BIGINT, FLOAT),
    "string": types(TEXT, SAFE),
    "mapping": types(DICT),
    "iterable": types(UNDEFINED, TEXT, SAFE, LIST, TUPLE, DICT, ITEMS, VIEW),
    "sequence": types(UNDEFINED, TEXT, SAFE, LIST, TUPLE, DICT),
    "escaped": types(SAFE),
    "callable": types(UNDEFINED, MACRO, FUNCTION),
}
"""Jinja's tests that ask for a type: the types that pass."""


class Op(IntEnum):
    """The operations. `a = ` is what is written; every operation that meets what it does not know ends the
    row."""

    # the flow
    FAIL = 0  # the row is Jinja's
    RAISE = 1  # the template refuses the row
    END = 2
    JUMP = 3  # to d
    JUMP_IF = 4  # to d if the truth of a is c
    JUMP_EQUAL = 5  # to d if (a == b) is c
    JUMP_IN = 6  # to d if (a in b) is c
    JUMP_TEST = 7  # to d if (the type of a is in mask b) is c
    JUMP_GIVEN = 8  # to d unless a is an argument that was not given
    JUMP_MACRO = 9  # to d if a is macro number c
    CALL = 10  # the code at d
    RETURN = 11
    SAVE = 12  # cells a ... b - 1, on a stack
    RESTORE = 13  # cells a ... b - 1
    # loops: the cells a and a + 1 are what is gone over, and the number of the round
    LOOP = 14  # begin to go over b; to d if it is empty
    NEXT = 15  # the next round, at d, if there is one
    ELEMENT = 16  # b = the element of loop a
    PAIR = 17  # b, c = the two members of the element of loop a
    LOOP_VALUE = 18  # b = a value of loop a, see LOOP_VALUES
    # output
    WRITE = 19  # str(a)
    WRITE_TEXT = 20  # a, which must be a text
    WRITE_JSON = 21  # a as JSON: b indent or -1, c flags (JSON_...)
    CAPTURE = 22  # a = where the output ends now
    CAPTURED = 23  # a = the text written since b, which is taken back
    MARK = 24  # a span that the assistant wrote begins (a: 1) or ends (a: 0)
    MEMO = 25  # to d, with the text that statement number a wrote for the value b, if there is one
    MEMO_END = 26  # note the text of statement number a
    # values
    MOVE = 27  # a = b
    MEMBER = (
        28  # a = b's member that constant c names; d: flags (NAME_...) and above them the attribute's number
    )
    ITEM = 29  # a = b[c]; d: flags (ITEM_...)
    SLICE = 30  # a = b[c : c + 1 : c + 2], the three bounds in consecutive cells
    EQUAL = 31  # a = (b == c) is d
    IN = 32  # a = (b in c) is d
    COMPARE = 33  # a = b < c, <=, >, >= for d 0 ... 3
    TEST = 34  # a = the type of b is in mask c
    NOT = 35  # a = not b
    ADD = 36  # a = b + c
    SUB = 37
    MUL = 38
    MOD = 39
    DIV = 40  # a = b // c
    DEFAULT = 41  # a = c where b is undefined (d 1: or false), else b
    NAMESPACE = 42  # a = a new namespace of b attributes
    SET_ATTRIBUTE = 43  # attribute number b of namespace a = c
    # texts
    TO_TEXT = 44  # a = str(b); d 1: a safe one
    STRIP = 45  # a = b without the characters of d (-1: white space), c 1: at the beginning, 2: at the end
    LENGTH = 46  # a = len(b)
    SPLIT = 47  # a = b.split(c), c -1: at white space; d: at most so many times, -1: always
    AFFIX = 48  # a = b begins with c (d 0), ends with c (d 1)
    REPLACE = 49  # a = b with c replaced by d
    CASE = (
        50  # a = b in the case c: 0 lower, 1 upper, 2 capitalized, 3 title (the filter), 4 title (the method)
    )
    JOIN = 51  # a = the members of b joined by c; d 1: they must be texts
    # lists
    LIST = 52  # a = a list of no members with room for b (c: its type)
    LIST_LIKE = 53  # a = a list of no members with room for those of b (c 2: for pairs)
    PUSH = 54  # put b behind the members of a
    PUSH_PAIR = 55  # put the pair b, c behind the pairs of a
    RANGE = 56  # a = range(b, b + 1, b + 2), three consecutive cells
    ITEMS = 57  # a = the pairs of dict b; c 1: of undefined too
    KEYS = 58  # a = the keys (c 0) or values (c 1) of dict b
    TO_LIST = 59  # a = list(b)
    SORT = 60  # a = the pairs of dict b, sorted by key, cases alike
    REVERSE = 61  # a = list b from its end
    # whose turn is written
    ROUND = 62  # c 0: of message a, if it is one; c 1: a = whose turn it is; c 2: of whom a says
    TO_INT = 63  # a = int(text or float b), cut off at the point; c where b is no number


NAME_NOT_DICT = 1  # MEMBER: other values than dicts have an attribute of that name
NAME_OF_DICT = (
    2  # MEMBER: dicts have a method of that name, which is not what is asked for where the key is missing
)
NAME_FLAGS = 2  # bits
ITEM_GET = 1  # ITEM: dict.get: only of a dict, a missing key is undefined
ITEM_END = 2  # ITEM: first, last: only of a list, an empty one gives undefined

JSON_TIGHT_COMMA, JSON_TIGHT_COLON, JSON_ASCII, JSON_SORTED = 1, 2, 4, 8

LOOP_VALUES = ("index0", "index", "first", "last", "length", "revindex", "revindex0", "previtem", "nextitem")


class Variable(IntEnum):
    """What a row's variable is."""

    MESSAGES = 0
    TOOLS = 1  # kept, may be JSON in a string; null, absent or blank: its default
    PROMPT = 2  # messages but the last, which is the assistant's


MARK_END, MARK_BEGIN, MARK_TURN = range(3)
"""What a mark says: a span that the assistant wrote ends, begins; above them, MARK_TURN + 1 + k: what comes
is of message k, MARK_TURN: of none."""


class Outcome(IntEnum):
    """What becomes of a row. Those that ask for more room are tried again with it."""

    GOING_ON = 0
    DONE = 1
    TO_JINJA = 2
    RAISED = 3
    MORE_OUTPUT = 4
    MORE_TEXT = 5
    MORE_CELLS = 6
    MORE_STACK = 7
    MORE_TABLES = 8


class Word(IntEnum):
    """The machine's state, int64 words. A buffer has two: its address and its size in bytes."""

    CODE = 0
    MEMORY = 2  # all texts; places in it are relative to its address
    CELLS = 4
    OUTPUT = 6
    STACK = 8  # of the operations that go into structures
    CALLS = 10
    SAVED = 12
    MARKS = 14
    STORE = 16  # the cached values, see cpu/vm_cache.py
    POSITION = 18  # where the output ends
    TOP = 19  # the first free cell
    TEXT = 20  # the first free place for texts
    TEXT_END = 21  # texts end before it
    FUEL = 22  # steps left
    PLACE = 23  # the instruction that ended the row
    MARKED = 24  # words of marks so far
    BEGIN = 25  # where the row's output began
    FIRST_FREE = 26  # the first cell that is free in each row
    NAMES = 27  # the first cell of the fixed names
    TABLES = 28  # what Python knows of code points, see cpu/vm_tables.py
    RENAMED = 30  # the first cell of pairs (role, what it is renamed), and how many
    TEXT_BEGIN = 32  # where the texts of each row begin
    MESSAGES = 33  # the first cell of the row's messages, and how many
    CURRENT = 35  # the number of the message whose turn is written, -1: of none
    LIMIT = 36  # messages that the template is given, -1: all


WORDS = 40
FIXED_NAMES = ("role", "content", "value", "reasoning_content", "thinking", "reasoning", "assistant")
"""Texts that the machine itself looks for in messages: the first constants of each program."""
NAME_ROLE, NAME_CONTENT, NAME_VALUE, NAME_REASONING, NAME_THINKING = range(5)
NAME_ASSISTANT = 6
REASONING = 3  # names of reasoning, from NAME_REASONING on, in the order they are looked for
MAX_CALLS = 256
MAX_STRUCTURE = 900  # a structure nested deeper is Jinja's: Python's json and repr give up soon after
MAX_MEMBERS = 1024  # an object with more keys is Jinja's
STEPS = 10_000_000
ATTRIBUTES = 64  # of namespaces, in one template


@dataclass(frozen=True, slots=True, eq=False)
class VmProgram:
    """A template as code.

    code: int32[5 * instructions]. constants: int64[2 * c], the first cells; places of texts count from the
    beginning of `literals`. cells: how many there are with the
    variables. variables: (what it is, its cell, the cell of its default), each of another column. renamed:
    (the first cell of pairs of roles, how many). statements: how many are kept (see cpu/vm_cache.py).
    """

    code: I32
    constants: I64
    literals: bytes
    cells: int
    variables: tuple[tuple[Variable, int, int], ...]
    renamed: tuple[int, int] = (0, 0)
