"""What goes wrong between here and a hub, as one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from forge_gpu.errors import ConfigError, ForgeError, InputError, OutputError
from forge_gpu.io.secrets import public
from forge_gpu.share.push.address import Address

INSTALL = "pip install 'forge-gpu[hub]'"
AGAIN = "run the same command again, and it goes on"
ADVICE = {
    401: "the hub does not know the token; log in with 'hf auth login', or set HF_TOKEN",
    403: "the token may not write there; take one that may, or another name",
    404: "there is no such place, or the token may not see it",
    409: f"someone else changed it meanwhile; {AGAIN}",
    412: f"someone else changed it meanwhile; {AGAIN}",
    413: "a file is too large for the hub; set output.rows_per_shard and prepare again",
    429: f"the hub wants fewer requests; wait, and {AGAIN}",
}


@contextmanager
def telling(address: Address) -> Iterator[None]:
    """Raises OutputError for what the hub or the way to it refuses, ConfigError without a token."""
    from huggingface_hub import errors

    try:
        yield
    except (ForgeError, KeyboardInterrupt):
        raise
    except errors.LocalTokenNotFoundError as fault:
        raise no_token() from fault
    except errors.OfflineModeIsEnabled as fault:
        raise OutputError(f"{address}: HF_HUB_OFFLINE is set, so nothing can be pushed") from fault
    except Exception as fault:
        raise OutputError(f"{address}: {_explain(fault)}") from fault


def no_token() -> ConfigError:
    return ConfigError("there is no token for the hub: log in with 'hf auth login', or set HF_TOKEN")


def _explain(fault: BaseException) -> str:
    """By the answer of the hub, if one stands anywhere behind the fault; else by what the network says."""
    status = None
    last = fault
    while True:
        status = status or getattr(getattr(last, "response", None), "status_code", None)
        inner = last.__cause__ or last.__context__
        if inner is None:
            break
        last = inner
    if status in ADVICE:
        return ADVICE[status]
    if status is not None:
        return f"the hub answers {status}; {AGAIN} later"
    if isinstance(last, OSError) and last.filename:
        raise InputError(f"{last.filename}: {last.strerror}") from fault
    text = public(" ".join(str(fault).split()))[:200] or type(fault).__name__
    if _is_of_network(fault):
        return f"the hub cannot be reached ({text}); {AGAIN} later"
    return f"{type(fault).__name__}: {text}; {AGAIN}"


def _is_of_network(fault: BaseException) -> bool:
    kinds = {kind.__name__ for kind in type(fault).__mro__}
    return isinstance(fault, OSError) or bool(kinds & {"TransportError", "RequestException", "HTTPError"})
