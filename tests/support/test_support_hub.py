"""The hub of the tests, spoken to by the clients that it stands in for."""

from __future__ import annotations

import pytest

from tests.support.hub import TOKEN, failing, hub_of_this_process

SMALL, LARGE = b'{"text":"a"}\n', b'{"text":"b"}\n' * 1000


def test_what_is_committed_is_listed_and_resolved(tmp_path):
    hub_library = pytest.importorskip("huggingface_hub")
    with hub_of_this_process(tmp_path / "home") as hub:
        api = hub_library.HfApi()
        api.create_repo("org/name", repo_type="dataset", private=True)
        api.create_repo("org/name", repo_type="dataset", exist_ok=True)
        additions = [
            hub_library.CommitOperationAdd("train.jsonl", LARGE),
            hub_library.CommitOperationAdd("more/test.jsonl", SMALL),
        ]
        api.create_commit("org/name", additions, commit_message="two files", repo_type="dataset")
        assert hub.files("org/name") == {"train.jsonl": LARGE, "more/test.jsonl": SMALL}
        tree = api.list_repo_tree("org/name", repo_type="dataset", recursive=True)
        assert {entry.path for entry in tree} == {"train.jsonl", "more", "more/test.jsonl"}
        assert api.list_repo_files("org/name", repo_type="dataset") == ["more/test.jsonl", "train.jsonl"]
        path = hub_library.hf_hub_download("org/name", "train.jsonl", repo_type="dataset")
        with open(path, "rb") as file:
            assert file.read() == LARGE


def test_its_files_are_read_by_fsspec(tmp_path):
    hub_library = pytest.importorskip("huggingface_hub")
    with hub_of_this_process(tmp_path / "home") as hub:
        hub.add("org/data", {"a/train.jsonl": LARGE, "b.jsonl": SMALL})
        system = hub_library.HfFileSystem(endpoint=hub.url, token=TOKEN, skip_instance_cache=True)
        assert system.find("datasets/org/data") == [
            "datasets/org/data/a/train.jsonl",
            "datasets/org/data/b.jsonl",
        ]
        assert system.glob("datasets/org/data/**/*.jsonl") == system.find("datasets/org/data")
        assert system.cat_file("datasets/org/data/a/train.jsonl") == LARGE
        with system.open("datasets/org/data/a/train.jsonl", "rb") as file:
            file.seek(13)
            assert file.read(13) == LARGE[13:26]


def test_it_refuses_as_a_hub_does(tmp_path):
    hub_library = pytest.importorskip("huggingface_hub")
    errors = pytest.importorskip("huggingface_hub.errors")
    with hub_of_this_process(tmp_path / "home", token="hf_" + "wrong" * 6) as hub:
        hub.add("org/private", {"train.jsonl": SMALL}, private=True)
        api = hub_library.HfApi()
        with pytest.raises(errors.HfHubHTTPError) as refused:
            api.create_repo("org/name", repo_type="dataset")
        assert refused.value.response.status_code == 401
        with pytest.raises(errors.HfHubHTTPError):
            api.dataset_info("org/private")
        hub.before = failing(403, 1)
        with pytest.raises(errors.HfHubHTTPError):
            api.dataset_info("org/none")
