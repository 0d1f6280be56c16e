import json
import sys

import pytest

from forge_gpu.errors import ForgeError, InputError
from forge_gpu.models.folder import read_folder
from forge_gpu.models.locate import locate
from forge_gpu.tokens.folder import find_tokenizer, read_tokenizer


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def model(tmp_path, **files):
    return read_folder(write(tmp_path / "model", **files))


def test_a_usual_folder(tmp_path):
    result = model(
        tmp_path,
        config_DOT_json={"architectures": ["Qwen2ForCausalLM"], "max_position_embeddings": 32768},
        tokenizer_config_DOT_json={
            "chat_template": "{{ messages }}",
            "bos_token": None,
            "eos_token": {"content": "<|im_end|>", "lstrip": False},
            "pad_token": "<|endoftext|>",
            "add_bos_token": False,
        },
    )
    assert (result.name, result.architecture, result.max_length) == ("model", "Qwen2ForCausalLM", 32768)
    assert result.special_tokens == {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    assert result.templates == {"default": "{{ messages }}"}
    assert result.template_for(tools=True) == "{{ messages }}"


def test_the_file_wins_over_the_tokenizer(tmp_path):
    result = model(
        tmp_path,
        chat_template_DOT_jinja="from the file\n",
        tokenizer_config_DOT_json={"chat_template": "from the tokenizer"},
        additional_chat_templates__tool_use_DOT_jinja="tools",
    )
    assert result.templates == {"default": "from the file\n", "tool_use": "tools"}
    assert result.sources["default"].endswith("chat_template.jinja")
    both = "{% if tools is none %}\nfrom the file{%+ else %}\ntools{%+ endif %}"
    assert result.template_for(tools=True) == both
    assert result.template_for(tools=False) == "from the file\n"
    assert any("several chat templates" in note for note in result.notes)


def test_a_list_of_named_templates(tmp_path):
    named = [{"name": "default", "template": "a"}, {"name": "rag", "template": "b"}]
    assert model(tmp_path, tokenizer_config_DOT_json={"chat_template": named}).templates == {
        "default": "a",
        "rag": "b",
    }


def test_named_templates_without_a_default_are_no_choice(tmp_path):
    named = [{"name": "one", "template": "a"}, {"name": "two", "template": "b"}]
    assert (
        model(tmp_path, tokenizer_config_DOT_json={"chat_template": named}).template_for(tools=False) is None
    )


def test_the_template_of_a_processor(tmp_path):
    result = model(tmp_path, config_DOT_json={}, chat_template_DOT_json={"chat_template": "p"})
    assert result.templates == {"default": "p"}


@pytest.mark.parametrize(
    ("config", "tokenizer", "length"),
    [
        ({"text_config": {"max_position_embeddings": 131072}, "architectures": ["G"]}, {}, 131072),
        ({"n_positions": 1024}, {}, 1024),
        ({}, {"model_max_length": 4096}, 4096),
        ({}, {"model_max_length": 1e30}, None),
        ({"max_position_embeddings": -1}, {"model_max_length": True}, None),
        ({"max_position_embeddings": "many"}, {}, None),
    ],
)
def test_the_context(tmp_path, config, tokenizer, length):
    assert model(tmp_path, config_DOT_json=config, tokenizer_config_DOT_json=tokenizer).max_length == length


def test_a_second_stop_token_is_told(tmp_path):
    added = {"128009": {"content": "<|eot_id|>"}, "128001": {"content": "<|end_of_text|>"}}
    result = model(
        tmp_path,
        generation_config_DOT_json={"eos_token_id": [128009]},
        tokenizer_config_DOT_json={"eos_token": "<|end_of_text|>", "added_tokens_decoder": added},
    )
    assert any("<|eot_id|>" in note for note in result.notes)


@pytest.mark.parametrize(
    ("files", "line"),
    [
        ({"config_DOT_json": "{"}, "config.json is not JSON"),
        ({"config_DOT_json": "[1]"}, "config.json must be a JSON object, not list"),
        ({"tokenizer_config_DOT_json": {"chat_template": 5}}, "chat_template must be a text"),
        ({"tokenizer_config_DOT_json": {"chat_template": [{"name": "x"}]}}, "chat_template must be a text"),
        ({"tokenizer_config_DOT_json": {"chat_template": ["x"]}}, "chat_template must be a text"),
        ({"config_DOT_json": "[" * 100_000}, "config.json is not JSON"),
        ({"README_DOT_md": "x"}, "is not a model folder"),
        ({"adapter_config_DOT_json": {"base_model_name_or_path": "org/base"}}, "an adapter of org/base"),
    ],
)
def test_malformed_files_are_one_line(tmp_path, files, line):
    with pytest.raises(InputError) as caught:
        model(tmp_path, **files)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_template_that_is_not_utf8(tmp_path):
    folder = write(tmp_path / "model", config_DOT_json={})
    (folder / "chat_template.jinja").write_bytes(b"ab\xff")
    with pytest.raises(InputError, match=r"chat_template\.jinja is not UTF-8: byte 2"):
        read_folder(folder)


@pytest.mark.parametrize(
    "config",
    [
        {"architectures": None},
        {"architectures": []},
        {"architectures": [7]},
        {"text_config": [1]},
        {"model_type": 3},
    ],
)
def test_odd_values_are_no_facts(tmp_path, config):
    result = model(
        tmp_path, config_DOT_json=config, special_tokens_map_DOT_json={"eos_token": {"content": 5}}
    )
    assert (result.architecture, result.special_tokens) == (None, {})


def cached(tmp_path):
    repository = tmp_path / "hub" / "models--org--name"
    write(repository / "snapshots" / "old", config_DOT_json={})
    write(repository / "snapshots" / "new", config_DOT_json={})
    write(repository / "refs", main="old\n")
    return {"HF_HUB_CACHE": str(tmp_path / "hub")}


def test_a_repository_in_the_cache(tmp_path):
    place, how = locate("org/name", cached(tmp_path))
    assert place and place.name == "old"
    assert how and "cache" in how
    assert read_folder(place).name == "org/name"


def test_the_cached_repository_itself_as_a_folder(tmp_path):
    cached(tmp_path)
    place, _ = locate(str(tmp_path / "hub" / "models--org--name"), {})
    assert place and place.name == "old"


def test_a_reference_that_leads_out_of_the_cache_is_not_followed(tmp_path):
    environ = cached(tmp_path)
    (tmp_path / "hub/models--org--name/refs/main").write_text("../../../..")
    place, _ = locate("org/name", environ)
    assert place and place.parent.name == "snapshots"


def test_a_name_that_is_nowhere(tmp_path):
    assert locate("qwen", {"HF_HUB_CACHE": str(tmp_path)}) == (None, None)


@pytest.mark.parametrize("name", ["./none", "/no/such/folder", "none/"])
def test_a_path_must_exist(name):
    with pytest.raises(InputError, match="there is no such folder"):
        locate(name, {})


def gguf(path, **templates):
    """A GGUF file without weights."""
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "llama")
    writer.add_name("Tiny")
    writer.add_context_length(4096)
    writer.add_token_list(["<unk>", "<s>", "</s>", "é"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(99)
    if templates:
        writer.add_chat_template([{"name": name, "template": text} for name, text in templates.items()])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def test_a_gguf_file_is_read_for_its_metadata(tmp_path):
    path = gguf(tmp_path / "tiny.gguf", default="\ufeffdéfault", tool_use="tools")
    result = read_folder(path)
    assert (result.name, result.architecture, result.max_length) == ("Tiny", "llama", 4096)
    assert result.templates == {"default": "\ufeffdéfault", "tool_use": "tools"}
    assert result.special_tokens == {"bos_token": "<s>", "eos_token": "</s>"}
    assert locate(str(path), {}) == (path, f"the metadata of {path}")
    assert read_folder(gguf(tmp_path / "none.gguf")).templates == {}


@pytest.mark.parametrize("size", [4, 8, 24, 60, 200, 300])
def test_a_gguf_file_that_is_cut_off(tmp_path, size):
    whole = gguf(tmp_path / "tiny.gguf", default="text").read_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(whole[:size])
    with pytest.raises(InputError, match=r"cut\.gguf is damaged, or no GGUF file"):
        read_folder(path)


def test_without_the_package_gguf_files_are_refused(tmp_path, monkeypatch):
    path = gguf(tmp_path / "tiny.gguf", default="text")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(InputError, match=r"pip install 'forge-gpu\[gguf\]'"):
        read_folder(path)


def test_a_folder_of_nothing_but_gguf_files(tmp_path):
    gguf(tmp_path / "tiny.gguf")
    with pytest.raises(InputError, match="name one of its GGUF files"):
        read_folder(tmp_path)


def test_a_file_is_no_folder(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_text("x")
    with pytest.raises(InputError, match="is a file; name the model's folder"):
        locate(str(path), {})


def test_a_template_of_the_processor_and_a_mark_of_the_byte_order(tmp_path):
    result = model(tmp_path, processor_config_DOT_json={"chat_template": "from the processor"})
    assert result.templates == {"default": "from the processor"}
    marked = write(tmp_path / "marked", config_DOT_json={})
    (marked / "chat_template.jinja").write_bytes(b"\xef\xbb\xbfmarked")
    assert read_folder(marked).templates == {"default": "\ufeffmarked"}


@pytest.mark.parametrize("name", ["chat_template.jinja", "tokenizer_config.json", "config.json"])
def test_a_link_that_leads_out_of_a_folder_is_not_followed(tmp_path, name):
    (tmp_path / "secret").write_text("{}")
    folder = write(tmp_path / "model", generation_config_DOT_json={}, processor_config_DOT_json={})
    (folder / name).symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="is a link that leads out of its folder"):
        read_folder(folder)


def test_a_folder_of_templates_that_leads_out_is_not_followed(tmp_path):
    folder = write(tmp_path / "model", config_DOT_json={})
    (write(tmp_path / "elsewhere", x_DOT_jinja="secret")).rename(tmp_path / "templates")
    (folder / "additional_chat_templates").symlink_to(tmp_path / "templates")
    with pytest.raises(InputError, match="additional_chat_templates is a link that leads out"):
        read_folder(folder)


def test_snapshots_of_the_cache_link_to_the_files_of_their_repository(tmp_path):
    repository = tmp_path / "hub" / "models--org--name"
    write(repository / "blobs", abc="from a blob")
    folder = write(repository / "snapshots" / "one", config_DOT_json={})
    (folder / "chat_template.jinja").symlink_to("../../blobs/abc")
    assert read_folder(folder).templates == {"default": "from a blob"}


def test_a_tokenizer_that_lies_elsewhere_is_not_followed(tmp_path):
    folder = write(tmp_path / "model", config_DOT_json={})
    (tmp_path / "secret").write_text("{}")
    (folder / "tokenizer.json").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="is a link that leads out of its folder"):
        find_tokenizer(folder)


def test_code_of_a_model_is_not_run(tmp_path):
    """A folder that asks for its own classes."""
    auto = {"auto_map": {"AutoConfig": "evil.Evil", "AutoTokenizer": ["evil.Evil", None]}}
    folder = write(tmp_path / "model", config_DOT_json=auto, tokenizer_config_DOT_json=auto)
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    (folder / "tokenizer.model").write_bytes(b"no tokenizer")
    read_folder(folder)
    with pytest.raises(ForgeError):
        read_tokenizer(folder)
    assert not (tmp_path / "ran").exists()
