"""Which check of a plan each reason of media belongs to."""

from __future__ import annotations

from forge_gpu.fates import Reason

CHECKS = {
    Reason.MEDIA_MISSING: "media_missing",
    Reason.MEDIA_OUTSIDE: "media_missing",
    Reason.MEDIA_URL: "media_missing",
    Reason.MEDIA_UNREADABLE: "media_files",
    Reason.MEDIA_TYPE: "media_files",
    Reason.MEDIA_BOMB: "media_files",
    Reason.MEDIA_SIZE: "media_size",
    Reason.MEDIA_DURATION: "media_size",
}
"""Reason -> the check of `preprocessing.quality_checks` that is about it; the first that holds is a row's."""
