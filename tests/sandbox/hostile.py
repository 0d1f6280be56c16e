"""A hostile transform: each row names an attack, and becomes what the attack got hold of.

It is read as text and run in the sandbox alone. An attack that is stopped raises; one that returns is a leak.
"""

import ctypes
import io
import os
import sys

LIBC = ctypes.CDLL(None, use_errno=True)


def read_open(row):
    with open(row["path"], "rb") as file:
        return file.read(64).hex()


def read_os_open(row):
    return os.read(os.open(row["path"], os.O_RDONLY), 64).hex()


def read_fileio(row):
    return io.FileIO(row["path"]).read(64).hex()


def read_native(row):
    number = LIBC.open(row["path"].encode(), 0)
    if number < 0:
        raise OSError(ctypes.get_errno(), "open")
    return number


def read_by_import(row):
    sys.path.insert(0, os.path.dirname(row["path"]))
    sys.meta_path.clear()
    from importlib import machinery

    return machinery.SourceFileLoader("stolen", row["path"]).get_data(row["path"]).hex()


def read_by_path_finder(row):
    from importlib import machinery

    result = machinery.PathFinder.find_spec("antigravity", [row["folder"]])
    if result is None:
        raise ImportError("nothing found")
    return str(result)


def read_by_traceback(row):
    import linecache

    lines = linecache.getlines(row["path"])
    if not lines:
        raise OSError("no lines")
    return lines


def list_folder(row):
    return os.listdir(row["path"])


def scan_folder(row):
    return [entry.name for entry in os.scandir(row["path"])]


def stat_path(row):
    return os.stat(row["path"]).st_size


def link_of(row):
    return os.readlink(row["path"])


def access_path(row):
    if not os.access(row["path"], os.R_OK):
        raise OSError("not accessible")
    return True


def folder_of_process(row):
    return os.getcwd()


def change_folder(row):
    return os.chdir(row["path"])


def write_file(row):
    with open(row["path"], "w") as file:
        file.write("taken")
    return True


def change_by_os(row):
    call = getattr(os, row["call"])
    return repr(call(*row["arguments"]))


def write_inherited(row):
    """Any descriptor beyond those that frames need."""
    taken = []
    for number in range(3, 64):
        try:
            taken.append((number, os.read(number, 0)))
        except OSError:
            pass
    if len(taken) > 1:  # the one of frames
        return repr(taken)
    raise OSError("no more descriptors")


def start_thread(row):
    import _thread

    return _thread.start_new_thread(print, ())


def run_program(row):
    return os.posix_spawn("/bin/true", ["/bin/true"], {})


def call_kernel(row):
    """A system call by its number, straight to the kernel."""
    held = [ctypes.create_string_buffer(a.encode()) if isinstance(a, str) else a for a in row["arguments"]]
    given = [ctypes.c_long(a) if isinstance(a, int) else a for a in held]
    answer = LIBC.syscall(ctypes.c_long(row["number"]), *given)
    if answer < 0:
        raise OSError(ctypes.get_errno(), row["name"])
    return answer


def raise_memory(row):
    size = 64 << 20
    held: list[int] = []
    for _ in range(1024):
        address = LIBC.mmap(None, ctypes.c_size_t(size), 3, row["flags"], -1, 0)
        if address == -1:
            raise OSError(ctypes.get_errno(), f"mmap after {len(held)} blocks")
        held.append(address)
    return len(held)


def environment(row):
    result = {**os.environ}
    result.pop("LANG", None), result.pop("PYTHONHASHSEED", None)
    result.pop("LC_CTYPE", None), result.pop("PWD", None)
    if not result:
        raise OSError("the environment is empty")
    return result


def who_is_root(row):
    if os.geteuid() == 0:
        return "root"
    raise OSError("nobody")


def transform(row):
    return {"got": repr(globals()[row["attack"]](row))}
