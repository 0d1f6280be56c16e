import no_such_library  # noqa: F401


def upper(input):
    return None
