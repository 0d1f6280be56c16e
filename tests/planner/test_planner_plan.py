import csv
import gzip
import json
import os

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from forge_gpu.config.load import load
from forge_gpu.errors import ConfigError, ForgeError, InputError, TemplateError
from forge_gpu.hardware.gpus import GPU, GPUs
from forge_gpu.hardware.host import Cores, Disk, Memory
from forge_gpu.hardware.probe import Hardware
from forge_gpu.library import prepare
from forge_gpu.planner.describe import describe
from forge_gpu.planner.plan import make_plan

GIB = 2**30
FLAT = [{"question": f"What is {n}?", "answer": f"It is {n}."} for n in range(20)]
TURN = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
CPU = Hardware(
    Cores(2, 2, None), Memory(8 * GIB, 6 * GIB, None), Disk("/", GIB), GPUs(notes=("no GPU here",))
)
H100 = GPU(0, "NVIDIA H100", "GPU-1", "Hopper", (9, 0), 80 * GIB, 79 * GIB, 0)
WITH_GPU = Hardware(CPU.cores, CPU.memory, CPU.disk, GPUs((H100,), 0, "580.65", (13, 0)))


def lines(path, records) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def planned(data, **arguments):
    goal = arguments.pop("goal", None)
    return make_plan(goal, data=data, **{"environ": {}, "hardware": CPU, **arguments})


def folder(tmp_path, name="my-model", template=None, **config):
    place = tmp_path / name
    place.mkdir()
    (place / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"], **config}))
    if template is not None:
        (place / "chat_template.jinja").write_text(template)
    (place / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>"}))
    return place


def test_a_plan_of_flat_records(tmp_path):
    plan = planned(lines(tmp_path / "a.json", FLAT), goal="support assistant")
    config = plan.config
    assert (config.goal, config.data.mapping.query, config.data.mapping.response) == (
        "support assistant",
        "question",
        "answer",
    )
    assert (config.model.template_kind, config.model.chat_template) == ("builtin", "chatml")
    assert config.model.template_is_approximate
    assert (plan.data.rows, plan.data.exact) == (20, True)
    assert any("approximation" in note for note in plan.notes)
    assert any("16 GiB" in note for note in plan.notes)
    assert not config.hardware.use_gpu_preprocessing
    assert "no GPU here" in plan.reasons["hardware.use_gpu_preprocessing"]


def test_what_is_written_is_what_was_planned(tmp_path):
    plan = planned(lines(tmp_path / "a.jsonl", FLAT), template="{question}\n{answer}  \n\n")
    plan.save(tmp_path / "forge.yaml")
    assert load(tmp_path / "forge.yaml", {}).config == plan.config


def test_every_chosen_key_has_a_reason(tmp_path):
    plan = planned(lines(tmp_path / "a.jsonl", FLAT), hardware=WITH_GPU)
    from forge_gpu.config.schema import Config

    def leaves(values, defaults, path=()):
        for name, value in values.items():
            if isinstance(value, dict) and name not in ("roles", "special_tokens", "template_kwargs"):
                yield from leaves(value, defaults[name], (*path, name))
            elif value != defaults[name]:
                yield ".".join((*path, name))

    chosen = set(leaves(plan.config.model_dump(), Config().model_dump()))
    assert chosen
    assert chosen <= set(plan.reasons)


def test_the_machine_decides_the_model_with_the_sum_shown(tmp_path):
    plan = planned(lines(tmp_path / "a.jsonl", FLAT), hardware=WITH_GPU)
    assert plan.config.model.name == "Qwen/Qwen2.5-14B-Instruct"
    assert "14.8B parameters with LoRA take" in plan.reasons["model.name"]
    assert plan.config.hardware.vram_gb == 80.0
    assert plan.config.hardware.gpu_arch == "Hopper"
    assert plan.config.hardware.compute_capability == "9.0"
    assert plan.config.hardware.recommended_batch_size == 8


def test_a_gpu_without_libraries_is_not_used_and_the_reason_is_given(tmp_path):
    plan = planned(lines(tmp_path / "a.jsonl", FLAT), hardware=WITH_GPU)
    assert "pip install 'forge-gpu[cu13]'" in plan.reasons["preprocessing.engine"]
    with pytest.raises(ForgeError, match=r"--engine gpu: .*forge doctor"):
        planned(lines(tmp_path / "a.jsonl", FLAT), hardware=WITH_GPU, engine="gpu")


def test_a_model_folder_wins(tmp_path):
    template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}"
    place = folder(tmp_path, template=template, max_position_embeddings=2048)
    plan = planned(lines(tmp_path / "a.jsonl", FLAT), model=place)
    model = plan.config.model
    assert (model.template_kind, model.chat_template, model.max_length) == ("jinja", template, 2048)
    assert (model.architecture, model.special_tokens) == ("LlamaForCausalLM", {"eos_token": "</s>"})
    assert not model.template_is_approximate
    assert model.template_source == str(place / "chat_template.jinja")


def test_a_template_that_writes_the_date_gets_one(tmp_path):
    place = folder(tmp_path, template="{{ strftime_now('%d') }}{{ messages[0].content }}")
    plan = planned(lines(tmp_path / "a.jsonl", FLAT), model=place)
    assert len(plan.config.model.date) == len("2026-01-31")


def test_a_folder_without_a_template_is_approximated_by_its_name(tmp_path):
    plan = planned(lines(tmp_path / "a.jsonl", FLAT), model=folder(tmp_path, "Qwen2.5-7B"))
    assert (plan.config.model.chat_template, plan.config.model.template_is_approximate) == ("chatml", True)


@pytest.mark.parametrize(
    ("model", "reported"),
    [
        ("llama", "could be any of llama-2, llama-3"),
        ("Llama-3.1-8B-Instruct", "no built-in template comes near"),
        ("something-new", "no family that Forge knows"),
        ("./nowhere", "there is no such folder"),
    ],
)
def test_a_model_without_a_template_to_be_had_is_refused_with_what_to_pass(tmp_path, model, reported):
    with pytest.raises(ForgeError, match=reported):
        planned(lines(tmp_path / "a.jsonl", FLAT), model=model)


def test_an_ambiguous_model_with_a_template_is_fine(tmp_path):
    plan = planned(lines(tmp_path / "a.jsonl", FLAT), model="llama", template="llama")
    assert (plan.config.model.name, plan.config.model.chat_template) == ("llama", "llama")
    assert not plan.config.model.template_is_approximate


def test_a_template_of_the_datas_own_columns(tmp_path):
    plan = planned(lines(tmp_path / "a.jsonl", FLAT), template="Q: {question}\nA: {answer}")
    assert plan.config.model.template_kind == "format"


def test_a_template_over_records_of_no_known_shape(tmp_path):
    path = lines(tmp_path / "a.jsonl", [{"titel": "a", "rumpf": "b"}] * 3)
    assert planned(path, template="{titel}: {rumpf}").config.data.mapping.shape == "columns"


@pytest.mark.parametrize(
    ("template", "reported"),
    [
        ("{question} {anwser}", "'anwser', did you mean 'answer'"),
        ("no columns {{at all}}", "names no column"),
        ("{question.__class__}", "with an attribute"),
        ("{question!r}", "a conversion"),
        ("chatm", "did you mean 'chatml'"),
        ("none.jinja", "there is no such file"),
        ("{% for %}{{ x }}", "the chat template, line 1"),
        ("{% if true %}{{ raise_exception('never') }}{% endif %}", "refuses 20 of 20 .*: never"),
    ],
)
def test_a_template_that_does_not_fit_is_refused_now(tmp_path, template, reported):
    with pytest.raises(TemplateError, match=reported):
        planned(lines(tmp_path / "a.jsonl", FLAT), template=template)


def test_a_template_file(tmp_path):
    (tmp_path / "mine.jinja").write_text("{{ messages[0].content }}\r\n")
    (tmp_path / "mine.txt").write_text("{question}\n")
    data = lines(tmp_path / "a.jsonl", FLAT)
    jinja = planned(data, template=tmp_path / "mine.jinja").config.model
    assert (jinja.template_kind, jinja.chat_template) == ("jinja", "{{ messages[0].content }}\r\n")
    assert planned(data, template=tmp_path / "mine.txt").config.model.template_kind == "format"


def conversations(turns: int, count: int = 10):
    return [{"messages": TURN * turns} for _ in range(count)]


@pytest.mark.parametrize("template", ["chatml", "llama", "alpaca", "gemma", "vicuna"])
def test_built_ins_take_several_turns(template, tmp_path):
    plan = planned(lines(tmp_path / "a.jsonl", conversations(3)), template=template)
    assert (plan.config.output.form, plan.config.model.chat_template) == ("text", template)
    assert not any("refuses" in note for note in plan.notes)


def test_conversations_that_a_built_in_refuses_are_told(tmp_path):
    records = conversations(1, 8) + [{"messages": [*TURN, *TURN[1:]]}] * 2
    plan = planned(lines(tmp_path / "a.jsonl", records), template="llama")
    assert any(
        "refuses 2 of 10 conversations looked at: messages that do not go user" in n for n in plan.notes
    )


def test_several_turns_without_any_model_are_written_as_messages(tmp_path):
    plan = planned(lines(tmp_path / "a.jsonl", conversations(3)))
    assert (plan.config.output.form, plan.config.model.template_kind) == ("messages", "none")
    assert any("--model DIR" in note for note in plan.notes)


def test_single_turns_take_a_built_in(tmp_path):
    plan = planned(lines(tmp_path / "a.jsonl", conversations(1)))
    assert (plan.config.output.form, plan.config.model.chat_template) == ("text", "chatml")


def test_an_unknown_speaker_is_refused_with_what_to_pass(tmp_path):
    path = lines(
        tmp_path / "a.jsonl",
        [{"conversations": [{"from": "alien", "value": "x"}, {"from": "gpt", "value": "yes"}]}] * 4,
    )
    with pytest.raises(InputError, match=r"'alien'.*--set data\.mapping\.roles\.alien=user"):
        planned(path)
    settings = ["data.mapping.roles.alien=user", "output.form=messages"]
    assert planned(path, overrides=settings).config.data.mapping.roles == {"alien": "user"}


def test_pairs_are_written_as_pairs(tmp_path):
    pairs = [{"prompt": "a", "chosen": "b", "rejected": "c"}] * 4
    plan = planned(lines(tmp_path / "a.jsonl", pairs))
    assert (plan.config.data.mapping.shape, plan.config.output.form) == ("preference", "preference")


def test_pairs_of_several_turns_without_any_model_are_kept_as_they_came(tmp_path):
    pairs = [{"messages": TURN + TURN[:1], "chosen": "b", "rejected": "c"}] * 4
    path = lines(tmp_path / "a.jsonl", pairs)
    plan = planned(path)
    assert (plan.config.output.form, plan.config.model.template_kind) == ("source", "none")
    assert planned(path, template="chatml").config.output.form == "preference"


def test_labels_and_media_are_kept(tmp_path):
    records = [{"messages": TURN, "label": n % 2 == 0, "images": ["a.jpg"]} for n in range(6)]
    config = planned(lines(tmp_path / "a.jsonl", records)).config
    assert config.data.mapping.label == "label"
    assert config.output.columns == ["images", "label"]
    assert config.preprocessing.split.stratify == "label"


def test_tools_are_written_beside_messages_once(tmp_path):
    records = [{"messages": TURN * 2, "tools": [{"name": n}]} for n in range(9)]
    plan = planned(lines(tmp_path / "a.jsonl", records))
    assert (plan.config.output.form, plan.config.output.columns) == ("messages", [])
    prepare(plan.config, output=tmp_path / "out")
    line = (tmp_path / "out/train.jsonl").read_text().split("\n")[0]
    assert json.loads(line)["tools"] == [{"name": 0}] and line.count('"tools"') == 1


def test_overrides_win_and_say_so(tmp_path):
    plan = planned(
        lines(tmp_path / "a.jsonl", FLAT),
        environ={"FORGE_CONFIG__PREPROCESSING__SEED": "5", "FORGE_CONFIG__OUTPUT__FORMAT": "parquet"},
        overrides=["preprocessing.seed=6", "preprocessing.train_split=80"],
    )
    assert (plan.config.preprocessing.seed, plan.config.output.format) == (6, "parquet")
    assert plan.config.preprocessing.validation_split == 0.2
    assert plan.reasons["preprocessing.seed"] == "as set by --set"
    assert plan.reasons["output.format"] == "as set by FORGE_CONFIG__OUTPUT__FORMAT"
    assert any("taken as 0.8" in warning for warning in plan.warnings)


def test_private_is_recommended_for_personal_data(tmp_path):
    rows = [
        {"question": f"ask {n}", "answer": f"write to anna.{n}@firm.org" if n < 3 else "fine"}
        for n in range(20)
    ]
    data = lines(tmp_path / "a.jsonl", rows)
    (note,) = (note for note in planned(data).notes if "output.mode private" in note)
    assert note.startswith("3 of 20 rows looked at hold personal data")
    assert "anna" not in note
    for more, given in ((rows, ["output.mode=private"]), (rows[3:], [])):
        notes = planned(lines(tmp_path / "a.jsonl", more), overrides=given).notes
        assert not any("personal data" in note for note in notes)


def test_columns_that_are_set_must_exist(tmp_path):
    with pytest.raises(ConfigError, match=r"preprocessing\.split\.stratify: .*did you mean 'answer'"):
        planned(lines(tmp_path / "a.jsonl", FLAT), overrides=["preprocessing.split.stratify=anser"])


def test_columns_that_only_a_script_makes_are_refused_with_what_to_do(tmp_path):
    path = lines(tmp_path / "a.jsonl", [{"titel": "a", "rumpf": "b"}] * 3)
    settings = ["data.transform.script=own.py", "data.mapping.messages=messages"]
    with pytest.raises(InputError, match=r"no column 'messages'.*plan without --data"):
        planned(path, overrides=settings)
    with pytest.raises(InputError, match="no column 'messages'") as fault:
        planned(path, overrides=settings[1:])
    assert "script" not in str(fault.value)


def test_columns_that_are_named_without_data_have_their_shape():
    settings = ["data.mapping.messages=messages"]
    assert planned((), goal="a clerk", overrides=settings).config.data.mapping.shape == "conversation"
    settings.append("data.mapping.shape=prompt")
    assert planned((), goal="a clerk", overrides=settings).config.data.mapping.shape == "prompt"


def test_vram_of_another_machine(tmp_path):
    plan = planned(lines(tmp_path / "a.jsonl", FLAT), overrides=["hardware.vram_gb=24"])
    assert plan.config.model.name == "Qwen/Qwen2.5-7B-Instruct"
    assert not any("16 GiB" in note for note in plan.notes)


def parquet_file(path):
    parquet.write_table(pa.Table.from_pylist(FLAT), path)


def arrow_file(path):
    table = pa.Table.from_pylist(FLAT)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def csv_file(path):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, ["question", "answer"])
        writer.writeheader()
        writer.writerows(FLAT)


WRITERS = {
    "jsonl": lambda path: lines(path, FLAT),
    "json": lambda path: path.write_text(json.dumps(FLAT, indent=2)),
    "jsonl gzip": lambda path: path.write_bytes(gzip.compress("\n".join(map(json.dumps, FLAT)).encode())),
    "jsonl utf-16": lambda path: path.write_bytes("\n".join(map(json.dumps, FLAT)).encode("utf-16")),
    "csv": csv_file,
    "parquet": parquet_file,
    "arrow": arrow_file,
}


@pytest.mark.parametrize("format", WRITERS)
def test_formats_are_told_by_their_content(tmp_path, format):
    path = tmp_path / "data.bin"
    WRITERS[format](path)
    plan = planned(str(path))
    assert plan.data.samples[0].format.kind == format.split()[0]
    assert plan.data.picked.columns == {"query": "question", "response": "answer"}
    assert plan.data.rows in (20, None)
    assert plan.data.rows == 20 or format == "arrow"


def test_rows_of_a_long_file_are_estimated(tmp_path):
    path = lines(tmp_path / "a.jsonl", FLAT * 3000)
    plan = planned(path)
    assert not plan.data.exact
    assert abs(plan.data.rows - 60_000) < 6_000
    assert plan.reasons["data.inputs"].startswith("1 file, ")


def test_a_column_that_comes_late_is_seen(tmp_path):
    records = FLAT * 3000 + [{**record, "late": "x"} for record in FLAT] * 1000
    assert "late" in planned(lines(tmp_path / "a.jsonl", records)).data.columns


def test_files_that_need_different_mappings_are_refused_by_name(tmp_path):
    one = lines(tmp_path / "one.jsonl", FLAT)
    two = lines(tmp_path / "two.jsonl", [{"prompt": "a", "completion": "b"}] * 3)
    with pytest.raises(InputError, match=r"one\.jsonl and .*two\.jsonl need different mappings"):
        planned([one, two])


def test_files_of_one_shape_may_lack_optional_columns(tmp_path):
    one = lines(tmp_path / "one.jsonl", [{"instruction": "a", "output": "b"}] * 3)
    two = lines(tmp_path / "two.jsonl", [{"instruction": "a", "input": "x", "output": "b"}] * 3)
    assert planned([one, two]).config.data.mapping.input == "input"
    assert planned([two, one]).config.data.mapping.input == "input"


@pytest.mark.parametrize(
    ("content", "reported"),
    [
        ("", "the data has no rows"),
        ("[]", "the data has no rows"),
        ("[1, 2, 3]", "not objects"),
        ('{"version": 1,\n "templates": ["a"],\n "x": {}\n}', "one JSON object over several lines"),
        ('{"a": 1}\n{"b\n{"c\n', "no column looks like"),
        ("%PDF-1.4 x", "a PDF"),
    ],
)
def test_data_that_is_none_is_refused(tmp_path, content, reported):
    path = tmp_path / "data.json"
    path.write_text(content)
    with pytest.raises(InputError, match=reported):
        planned(str(path))


def test_bad_rows_are_told(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in FLAT) + '{"broken\n[1]\n')
    assert any("2 of 22 rows looked at cannot be read" in note for note in planned(str(path)).notes)


def test_no_data():
    with pytest.raises(InputError, match="no data: name it with --data PATH"):
        make_plan()


def test_relative_inputs_are_seen_from_the_plans_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines(tmp_path / "a.jsonl", FLAT)
    assert planned("a.jsonl").config.data.inputs == ["a.jsonl"]
    assert planned("a.jsonl", folder=tmp_path / "plans").config.data.inputs == [os.path.join("..", "a.jsonl")]
    assert planned(tmp_path / "a.jsonl", folder="plans").config.data.inputs == [str(tmp_path / "a.jsonl")]


def test_the_description_has_everything_that_was_chosen(tmp_path):
    sections = dict(describe(planned(lines(tmp_path / "a.jsonl", FLAT), hardware=WITH_GPU)))
    assert any("GPU 0: NVIDIA H100, Hopper, compute capability 9.0" in line for line in sections["Hardware"])
    assert any("memory budget: 128 MiB" in line for line in sections["Hardware"])
    assert any("column 'question': text" in line for line in sections["Data"])
    assert any(
        line.startswith("mapping: flat: query = question, response = answer (") for line in sections["Plan"]
    )
    assert any(line.startswith("template: chatml (an approximation") for line in sections["Plan"])
