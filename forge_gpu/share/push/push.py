"""Push: upload what is large, then commit everything at once, so that nobody sees a piece of it.

A push that was killed goes on: the hub has the large files by their content, and takes none of them twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from forge_gpu.errors import ConfigError, ForgeError, OutputError
from forge_gpu.plain import frozen
from forge_gpu.share.card.write import CARD, is_license, is_own_text
from forge_gpu.share.prepared import open_prepared
from forge_gpu.share.push.address import MAIN, Address, parse
from forge_gpu.share.push.contents import Content, contents, is_of_a_push
from forge_gpu.share.push.faults import INSTALL, no_token, telling

AT_ONCE = 50
"""Files that are uploaded together."""
BYTES_AT_ONCE = 4 * 2**30
KIND = "dataset"


@frozen
class Pushed:
    """files: those that are there now. removed: of an earlier push. left: files that look like those of an
    earlier push, under a card that is not Forge's. kept_card: the hub has a card of someone else's."""

    url: str
    files: Sequence[str]
    removed: Sequence[str]
    left: Sequence[str]
    kept_card: bool
    is_public: bool
    was_there: bool


def push(
    folder: str | Path,
    address: str,
    *,
    public: bool = False,
    bookkeeping: bool = False,
    license: str | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Pushed:
    """Put a prepared folder on the hub, in one commit.

    address: hf://datasets/ORG/NAME. A new repository is private unless `public`; without it nothing is pushed
    to a public one. bookkeeping: the manifest, the ledger, rejected rows and the report go along. license:
    instead of the plan's. on_progress: hears how many files of how many are uploaded. Raises ForgeError:
    InputError for a folder that is not prepared, ConfigError for an address or a missing token, OutputError.
    """
    place = parse(address)
    if license is not None and not is_license(license):
        raise ConfigError(f"{license!r}: is not the name of a licence; write one such as cc-by-4.0")
    files = contents(open_prepared(folder), bookkeeping, license)
    api = _api()
    with telling(place):
        is_public = _open(api, place, public)
        return _push(api, place, files, is_public, on_progress)


def _api() -> Any:
    """The hub's own client, with the token from where it keeps it."""
    try:
        import huggingface_hub
    except ImportError:
        raise ForgeError(f"forge push needs the package huggingface_hub: {INSTALL}") from None
    token = huggingface_hub.get_token()
    if token is None:
        raise no_token()
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigError(
            "the token for the hub has characters that no token has; log in again with 'hf auth login'"
        )
    huggingface_hub.utils.disable_progress_bars()
    huggingface_hub.utils.logging.set_verbosity_error()
    return huggingface_hub.HfApi(library_name="forge-gpu")


def _open(api: Any, place: Address, public: bool) -> bool:
    """Make the repository and the branch where they are missing; whether everyone sees it."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        is_public = not api.dataset_info(place.name).private
    except RepositoryNotFoundError:
        api.create_repo(place.name, repo_type=KIND, private=not public, exist_ok=True)
        is_public = not api.dataset_info(place.name).private
    if is_public and not public:
        raise OutputError(f"{place}: is public, and everyone would see the rows; add --public to push there")
    if place.branch != MAIN:
        api.create_branch(place.name, branch=place.branch, repo_type=KIND, exist_ok=True)
    return is_public


def _push(
    api: Any,
    place: Address,
    files: Sequence[Content],
    is_public: bool,
    on_progress: Callable[[int, int], None],
) -> Pushed:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    before = api.dataset_info(place.name, revision=place.branch)
    there = {entry.rfilename for entry in before.siblings or ()}
    has_own_card = CARD not in there or _is_own_card(api, place)
    kept_card = not has_own_card and isinstance(files[-1].source, bytes)
    files = files[:-1] if kept_card else files
    stale = sorted(name for name in there - {file.name for file in files} if is_of_a_push(name))
    additions = [CommitOperationAdd(file.name, file.source) for file in files]
    _upload(api, place, additions, on_progress)
    for file, addition in zip(files, additions, strict=True):
        _require_unchanged(file, addition)
    removals = [CommitOperationDelete(name) for name in stale] if has_own_card else []
    commit = api.create_commit(
        place.name,
        [*additions, *removals],
        commit_message="Prepared by Forge",
        repo_type=KIND,
        revision=place.branch,
        parent_commit=before.sha,
    )
    return Pushed(
        url=f"{api.endpoint}/datasets/{place.name}"
        + ("" if place.branch == MAIN else f"/tree/{place.branch}"),
        files=[file.name for file in files],
        removed=stale if has_own_card else [],
        left=[] if has_own_card else stale,
        kept_card=kept_card,
        is_public=is_public,
        was_there=commit.oid == before.sha,
    )


def _is_own_card(api: Any, place: Address) -> bool:
    """Whether the card on the hub is one that Forge wrote."""
    path = api.hf_hub_download(place.name, CARD, repo_type=KIND, revision=place.branch)
    return is_own_text(Path(path).read_bytes())


def _upload(
    api: Any, place: Address, additions: Sequence[Any], on_progress: Callable[[int, int], None]
) -> None:
    """Upload what does not fit into a commit; what already exists is passed over."""
    done = 0
    for group in _groups(additions):
        api.preupload_lfs_files(
            place.name,
            group,
            repo_type=KIND,
            revision=place.branch,
            free_memory=False,
            gitignore_content="",  # that of the hub would leave files out in silence
        )
        done += len(group)
        on_progress(done, len(additions))


def _groups(additions: Sequence[Any]) -> Iterator[list[Any]]:
    group: list[Any] = []
    size = 0
    for addition in additions:
        if group and (len(group) == AT_ONCE or size + addition.upload_info.size > BYTES_AT_ONCE):
            yield group
            group, size = [], 0
        group.append(addition)
        size += addition.upload_info.size
    if group:
        yield group


def _require_unchanged(file: Content, addition: Any) -> None:
    """Raises OutputError where what was uploaded is not what the manifest says."""
    if file.sha256 is not None and addition.upload_info.sha256.hex() != file.sha256:
        raise OutputError(
            f"{file.name}: its SHA-256 is not what the manifest says; nothing was committed: prepare again"
        )
