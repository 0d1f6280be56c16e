"""Near-duplicates by the plan: what they are, and the text that is compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forge_gpu.config.schema import Config
from forge_gpu.config.schema import Near as NearSettings
from forge_gpu.job.rows.compared import ComparedText

if TYPE_CHECKING:
    from forge_gpu.dedup.near import NearDuplicates

KEY = "preprocessing.dedup.near"


def settings_of(near: NearSettings, seed: int) -> NearDuplicates:
    """What a near-duplicate is, by the plan."""
    from forge_gpu.dedup.near import NearDuplicates
    from forge_gpu.dedup.shingling import Shingling

    shingling = Shingling(near.unit, near.size, near.case, near.white_space, near.punctuation)
    return NearDuplicates(near.threshold, near.permutations, seed, shingling)


class NearText:
    """What of a row is compared, and how. Belongs to one thread."""

    def __init__(self, near: NearSettings, seed: int) -> None:
        self.settings = settings_of(near, seed)
        self.text = ComparedText(near.roles, f"{KEY}.roles")

    @classmethod
    def of(cls, config: Config) -> NearText | None:
        """None where the plan does not look for near-duplicates."""
        near = config.preprocessing.dedup.near
        return None if near is None else cls(near, config.preprocessing.seed)
