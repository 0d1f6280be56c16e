"""What can become of a row. Codes are stored in the index and the ledger: never renumber them."""

from enum import IntEnum


class Fate(IntEnum):
    """Every input row has exactly one."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2
    DUPLICATE = 3
    NEAR_DUPLICATE = 4
    CONTAMINATED = 5
    REJECTED = 6
    UNSAMPLED = 7  # left out by a source's weight or cap
    DROPPED_BY_TRANSFORM = 8  # the plan's script made nothing of it


class Reason(IntEnum):
    """Why a row was rejected. 0 is "not rejected"; 1-31 the reader, 32-63 the records, 64-95 the checks."""

    NONE = 0
    INVALID_JSON = 1
    INVALID_UTF8 = 2
    NOT_AN_OBJECT = 3
    LONE_SURROGATE = 4  # an escape such as \ud800 without its other half: no UTF-8 exists for it
    ROW_TOO_LONG = 5  # more than max_row_bytes
    WRONG_FIELD_COUNT = 6  # a CSV row with too many or too few fields
    TOO_DEEP = 7  # JSON nested deeper than the scanner's bound

    MISSING_FIELD = 32
    NULL_FIELD = 33
    BAD_MESSAGES = 34  # not a list of messages, unknown role or kind of content
    TEMPLATE_REFUSED = 35  # the template raised; the detail is its own message
    SEVERAL_TURNS = 36  # a conversation of several turns for a template of one turn
    UNPARSABLE_TIME = 37  # temporal split: the column is not a time
    EMPTY_TEXT = 38  # rendered to nothing
    TRANSFORM_ERROR = 39  # the plan's script refused it; the detail is its message
    NOT_A_TEXT = 40  # a list or an object where a text has to be
    UNKNOWN_SPANS = 41  # spans are asked for, and are not known; the plan rejects such rows
    NOTHING_TRAINED = 42  # too few tokens that the model is to learn
    UNKNOWN_ORIGIN = 43  # it spells control tokens, and which of them are the template's cannot be told

    EMPTY_FIELD = 64
    TOO_SHORT = 65
    TOO_LONG = 66
    MOJIBAKE = 67
    REPLACEMENT_CHARACTER = 68
    CONTROL_CHARACTER = 69
    REPETITION = 70
    CONTROL_TOKENS = 71  # contents spell a token that only a template writes
    LANGUAGE = 72  # in none of the plan's languages
    SECRETS = 73
    PERSONAL_DATA = 74
    GOPHER = 75
    C4 = 76
    MEDIA_MARKS = 77  # another number of marks, as <image>, than of media
    MEDIA_MISSING = 78
    MEDIA_OUTSIDE = 79  # outside of the data's folder, and of those that the plan names
    MEDIA_URL = 80  # which is never fetched, where files are to be linked, copied or embedded
    MEDIA_UNREADABLE = 81
    MEDIA_TYPE = 82  # a file of another kind
    MEDIA_BOMB = 83  # an image of more pixels than the plan allows
    MEDIA_SIZE = 84
    MEDIA_DURATION = 85


def name(code: Fate | Reason) -> str:
    """The spelling used in files and messages: lower case, with underscores."""
    return code.name.lower()
