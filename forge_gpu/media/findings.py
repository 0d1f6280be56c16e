"""What is amiss with media, as reasons; `checks` says which check each belongs to."""

from __future__ import annotations

from collections.abc import Iterator

from forge_gpu.config.schema import Checks
from forge_gpu.fates import Reason
from forge_gpu.media.looker import Seen, is_of_kind

_OF_STATES = {
    "missing": (Reason.MEDIA_MISSING, "there is no such file"),
    "outside": (
        Reason.MEDIA_OUTSIDE,
        "lies outside the folders of the data; name its folder in data.media.folders",
    ),
}
Finding = tuple[Reason, str]


def findings(seen: Seen, kind: str, checks: Checks, urls_stay: bool) -> Iterator[Finding]:
    """What is amiss with a medium that is named as one of a kind. urls_stay: whether a URL is good."""
    if seen.state == "url":
        if not urls_stay:
            yield (
                Reason.MEDIA_URL,
                "is a URL: it is never fetched, so it can only be kept (output.media: keep)",
            )
    elif seen.state in _OF_STATES:
        yield _OF_STATES[seen.state]
    elif seen.state == "unreadable":
        yield Reason.MEDIA_UNREADABLE, seen.fault
    elif not is_of_kind(seen, kind):
        yield Reason.MEDIA_TYPE, f"is {_what(seen.kind)}, where {_what(kind)} is named"
    elif seen.kind == "images":
        yield from _of_image(seen, checks)
    elif (
        seen.kind == "audios"
        and seen.seconds
        and not checks.min_seconds <= seen.seconds <= checks.max_seconds
    ):
        yield Reason.MEDIA_DURATION, f"has {seen.seconds:g} seconds"


def _of_image(seen: Seen, checks: Checks) -> Iterator[Finding]:
    size = f"has {seen.width:,} x {seen.height:,} pixels"
    if seen.width * seen.height > checks.max_pixels:
        yield Reason.MEDIA_BOMB, f"{size}, more than max_pixels ({checks.max_pixels:,}) allows"
    sides = sorted((seen.width, seen.height))
    if sides[1] and (sides[0] < checks.min_side or sides[1] > checks.max_ratio * sides[0]):
        yield Reason.MEDIA_SIZE, size


def _what(kind: str) -> str:
    return {"images": "an image", "audios": "a sound", "videos": "a video"}.get(
        kind, "no medium that is known"
    )
