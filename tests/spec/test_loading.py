from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_ft.spec import Problem, RunSpec, SpecError, build_spec, dump_spec, load_spec
from tui_ft.spec.draft import Draft
from tui_ft.spec.loading import parse_yaml
from tui_ft.spec.run_spec import FullMethod, LoraMethod, QloraMethod

LEAST = {"model": {"name_or_path": "m"}, "data": {"train": "d.jsonl"}}


def _faults(path: Path, *overrides: str) -> tuple[Problem, ...]:
    with pytest.raises(SpecError) as caught:
        load_spec(path, overrides)
    return caught.value.problems


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return path


def test_every_fault_is_told_with_file_line_and_key(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        "model:\n  name_or_path: m\n  foo: 1\n"
        "data:\n  train: d\n"
        "method:\n  kind: lor\n"
        "training:\n  learning_rat: 1\n  precision: bf61\n  r: 3\n"
        "hardware:\n  gpus: all\n",
    )
    faults = {problem.key: problem for problem in _faults(path)}
    assert {key: problem.line for key, problem in faults.items()} == {
        "model.foo": 3,
        "method": 6,
        "training.learning_rat": 9,
        "training.precision": 10,
        "training.r": 11,
        "hardware.gpus": 13,
    }
    assert all(problem.file == str(path) for problem in faults.values())
    assert faults["training.learning_rat"].nearest == "training.learning_rate"
    assert faults["training.r"].nearest == "method.r"
    assert (faults["method"].allowed or "").startswith("full, lora, qlora, adalora, freeze")
    assert faults["training.precision"].allowed == "auto, bf16, fp16 or fp32"
    assert "name_or_path" in (faults["model.foo"].allowed or "")


def test_a_fault_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    path = _write(tmp_path, "model: {name_or_path: m}\ndata: {train: d}\ntraning: {}\n")
    (problem,) = _faults(path)
    assert str(problem) == f"{path}:3: traning: unknown key; did you mean `training`?"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("- a\n- b\n", "holds a list"),
        ("model: [\n", "not valid YAML"),
        ("model: {name_or_path: a}\nmodel: {name_or_path: b}\n", "given twice, first on line 1"),
        ("data: {train: d}\n", "model"),
        ("model: m\ndata: {train: d}\n", "a group of keys belongs here"),
        ("model: {name_or_path: !!python/object:os.system x}\n", "not valid YAML"),
    ],
)
def test_what_is_no_spec_is_refused_in_words(tmp_path: Path, text: str, said: str) -> None:
    assert said in "\n".join(map(str, _faults(_write(tmp_path, text))))


def test_unreadable_files_are_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in str(_faults(tmp_path / "binary.yaml")[0])
    assert "No such file" in str(_faults(tmp_path / "nowhere.yaml")[0])


def test_overrides_win_and_are_named_when_they_are_wrong(tmp_path: Path) -> None:
    path = _write(tmp_path, dump_spec(build_spec(LEAST)))
    spec = load_spec(path, ["training.learning_rate=1e-4", "hardware.gpus=[1]", "data.eval="])
    assert spec.training.learning_rate == 1e-4
    assert spec.hardware.gpus == [1]
    assert spec.data.eval is None
    (problem,) = _faults(path, "training.max_length=ten")
    assert (problem.file, problem.line, problem.key) == ("--set", None, "training.max_length")
    assert "not of the form key=value" in str(_faults(path, "nonsense")[0])


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("12345e7", "12345e7"),
        ("1234567", "1234567"),
        ('"12345e7"', "12345e7"),
        ("'null'", "null"),
        ("null", None),
        ("", None),
    ],
)
def test_a_text_that_looks_like_a_number_stays_a_text(typed: str, read: str | None) -> None:
    assert build_spec(LEAST, [f"model.revision={typed}"]).model.revision == read


@pytest.mark.parametrize(
    ("group", "values"),
    [
        ("training", {"learning_rate": 0}),
        ("training", {"per_device_train_batch_size": 0}),
        ("training", {"max_length": 2}),
        ("data", {"eval_fraction": 1.0}),
        ("method", {"kind": "lora", "r": 0}),
        ("hardware", {"gpus": []}),
        ("hardware", {"gpus": [0, 0]}),
        ("hardware", {"gpus": [-1]}),
    ],
)
def test_values_out_of_range_are_refused(group: str, values: dict[str, Any]) -> None:
    merged = {**LEAST, group: {**LEAST.get(group, {}), **values}}
    with pytest.raises(SpecError) as caught:
        build_spec(merged)
    assert all(problem.key.startswith(group) for problem in caught.value.problems)


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "x" * 65, "a b"])
def test_names_that_are_no_folder_are_refused(name: str) -> None:
    with pytest.raises(SpecError):
        build_spec({**LEAST, "name": name})


def test_early_stopping_without_evaluation_is_refused() -> None:
    values = {**LEAST, "data": {"train": "d", "eval_fraction": 0}}
    with pytest.raises(SpecError, match="needs an evaluation"):
        build_spec({**values, "training": {"early_stopping_patience": 3}})


def test_the_method_is_chosen_by_its_kind() -> None:
    kinds = {"full": FullMethod, "lora": LoraMethod, "qlora": QloraMethod}
    for kind, expected in kinds.items():
        assert type(build_spec({**LEAST, "method": {"kind": kind}}).method) is expected
    with pytest.raises(SpecError, match=r"method\.r.*is no key of the kind `full`; allowed: kind"):
        build_spec({**LEAST, "method": {"kind": "full", "r": 8}})


def test_every_field_has_its_help() -> None:
    for name, field in RunSpec.model_fields.items():
        for model in (field.annotation,):
            fields = getattr(model, "model_fields", {})
            assert all(inner.description for inner in fields.values()), name


@given(
    st.builds(
        dict,
        learning_rate=st.floats(1e-8, 0.5),
        max_length=st.integers(8, 100_000),
        packing=st.booleans(),
        warmup_steps=st.floats(0, 1_000),
        save_steps=st.one_of(st.none(), st.floats(0.001, 5_000)),
    ),
    st.sampled_from(["full", "lora", "qlora"]),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=30),
)
def test_what_is_written_reads_back_the_same(
    training: dict[str, Any], kind: str, words: str
) -> None:
    values = {**LEAST, "training": training, "method": {"kind": kind}, "description": words}
    spec = build_spec(values)
    read, _ = parse_yaml(dump_spec(spec), "run.yaml")
    assert build_spec(read) == spec


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("training.learning_rate=2E-5", 2e-5),
        ("training.packing=true", True),
        ("training.save_steps=", None),
        ("training.seed = 7", 7),
        ("training.optim=adamw_8bit", "adamw_8bit"),
        ("training.optim_args=a=1,b=2", "a=1,b=2"),
        ("training.extra.parallelism_config=a=1,b=2", {"parallelism_config": "a=1,b=2"}),
        ("training.extra={a: [1, 2]}", {"a": [1, 2]}),
    ],
)
def test_an_override_is_read_as_people_mean_it(override: str, expected: object) -> None:
    key = override.partition("=")[0].strip().split(".")[1]
    assert getattr(build_spec(LEAST, [override]).training, key) == expected


def test_the_last_override_wins_and_the_values_stay_as_they_were() -> None:
    values: dict[str, Any] = {**LEAST, "training": {"seed": 1}}
    spec = build_spec(values, ["training.seed=2", "training.seed=3", "method.kind=qlora"])
    assert (spec.training.seed, spec.method.kind) == (3, "qlora")
    assert values == {**LEAST, "training": {"seed": 1}}


def test_an_override_that_means_nothing_is_told_with_the_nearest_key() -> None:
    with pytest.raises(SpecError) as caught:
        build_spec(LEAST, ["training.learning_rat=1", "method.kind=lora", "method.loraalpha=3"])
    assert {(p.file, p.key, p.nearest) for p in caught.value.problems} == {
        ("--set", "training.learning_rat", "training.learning_rate"),
        ("--set", "method.loraalpha", "method.lora_alpha"),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("training:\n  seed: 1\n  seed: 2\n", "run.yaml:5: training.seed: is given twice"),
        ("---\na: 1\n", "run.yaml:3: not valid YAML: but found another document"),
        ("training:\n\tseed: 1\n", "run.yaml:4: not valid YAML: found character"),
        ("name: 2024-99-99\n", "not valid YAML: month must be in 1..12"),
        ("3: x\n", "3: is no name: a key is text"),
        ("? [1, 2]\n: 3\n", "not valid YAML: found unhashable key"),
        ("name: '\x00'\n", "not valid YAML"),
        pytest.param("name: " + "[" * 20_000, "not valid YAML", id="deep"),
        ("name: *nowhere\n", "not valid YAML: found undefined alias"),
    ],
)
def test_broken_yaml_is_told_by_line(tmp_path: Path, text: str, said: str) -> None:
    start = "model: {name_or_path: m}\ndata: {train: d}\n"
    assert said in "\n".join(map(str, _faults(_write(tmp_path, start + text))))


def test_a_merged_key_is_not_given_twice() -> None:
    text = "model: {name_or_path: m}\ndata: {train: d}\ntraining:\n  <<: {seed: 1}\n  seed: 2\n"
    values, lines = parse_yaml(text, "run.yaml")
    assert build_spec(values).training.seed == 2
    assert lines[("training", "seed")] == 5


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    assert "too large" in str(_faults(_write(tmp_path, "#" * 1_000_001))[0])


def test_a_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = _write(tmp_path, "\ufeffmodel: {name_or_path: m}\ndata: {train: d}\n")
    assert load_spec(path).model.name_or_path == "m"


def test_every_problem_of_a_missing_group_says_what_belongs_there() -> None:
    with pytest.raises(SpecError) as caught:
        build_spec({})
    found = {problem.key: problem for problem in caught.value.problems}
    assert set(found) == {"model", "data"}
    assert all(problem.message == "is missing" for problem in found.values())
    assert "model.name_or_path: " in (found["model"].allowed or "")
    assert "data.train: " in (found["data"].allowed or "")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("name=123", "123"),
        ("name=on", "on"),
        ("name=1e5", "1e5"),
        ("name=2024-11-24", "2024-11-24"),
        ("model.revision=1234567", "1234567"),
        ("data.train=#1: a.jsonl", "#1: a.jsonl"),
        ("description=note: yes", "note: yes"),
    ],
)
def test_where_a_text_belongs_an_override_is_taken_as_typed(override: str, expected: str) -> None:
    found: Any = build_spec(LEAST, [override])
    for part in override.partition("=")[0].split("."):
        found = getattr(found, part)
    assert found == expected


def test_an_empty_override_is_no_text() -> None:
    with pytest.raises(SpecError, match="name"):
        build_spec(LEAST, ["name="])


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run.yaml")
    assert "is no file" in str(_faults(tmp_path / "run.yaml")[0])
    assert "is no file" in str(_faults(tmp_path)[0])
    assert "cannot be read" in str(_faults(tmp_path / "a\0b")[0])


def test_a_key_that_is_a_number_is_told_by_its_line(tmp_path: Path) -> None:
    path = _write(tmp_path, "model: {name_or_path: m}\ndata: {train: d}\n3: x\n")
    assert [(problem.key, problem.line) for problem in _faults(path)] == [("3", 3)]


_PASSED_ON = """
model: {name_or_path: m, revision: 12345e7}
data: {train: d}
method: {kind: peft, peft_type: LOHA, arguments: {rank_dropout: 1e-1}}
training:
  lr_scheduler_type: cosine_with_min_lr
  lr_scheduler_kwargs: {min_lr: 1e-6}
  extra: {a: [1e-3, -2.5E+4, .5e1, 1e, e5, sha1e4], b: '1e-3', c: {d: "2E5"}}
"""


def test_a_number_with_an_exponent_is_one_where_no_type_is_known(tmp_path: Path) -> None:
    """Unless it stands in quotes; and so it is still when it was written down by us."""
    spec = load_spec(
        _write(tmp_path, _PASSED_ON), ["training.extra.e='12e5'", "training.extra.f=12e5"]
    )
    extra = {
        "a": [1e-3, -2.5e4, 5.0, "1e", "e5", "sha1e4"],
        "b": "1e-3",
        "c": {"d": "2E5"},
        "e": "12e5",
        "f": 12e5,
    }
    assert spec.training.lr_scheduler_kwargs == {"min_lr": 1e-6}
    assert spec.training.extra == extra
    assert getattr(spec.method, "arguments", None) == {"rank_dropout": 0.1}
    assert spec.model.revision == "12345e7"
    assert load_spec(_write(tmp_path, dump_spec(spec))) == spec
    draft = Draft.begin(parse_yaml(_PASSED_ON, "run.yaml")[0], "run.yaml")
    typed = {one.key: draft.text_of(one) for one in draft.fields}
    assert typed["training.extra"].endswith("b: '1e-3', c: {d: '2E5'}}")
    for again in (draft, draft.with_yaml(draft.to_yaml()), _typed_again(draft)):
        assert again.spec is not None
        assert again.spec.training.extra == {key: extra[key] for key in "abc"}


def _typed_again(draft: Draft) -> Draft:
    (field,) = (one for one in draft.fields if one.key == "training.extra")
    return draft.with_text(field, draft.text_of(field))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "training.max_steps=yes",
            "max_steps: is true (YAML reads yes, no, on and off so); a whole number",
        ),
        ("training.learning_rate=on", "training.learning_rate: is true (YAML"),
        ("training.logging_steps=false", "logging_steps: is false (YAML"),
        ("hardware.gpus=[0, yes]", "hardware.gpus.1: is true (YAML"),
        ("training.max_steps=10:30", "training.max_steps: is '10:30'; a whole number belongs here"),
        ("training.learning_rate=-1:30.5", "is '-1:30.5'; a number belongs here"),
        ("training.max_steps=2024-01-01", "training.max_steps: is 2024-01-01; a whole number"),
        ("training.max_length=null", "training.max_length: is null; a whole number belongs here"),
        ("training.seed=4294967296", "is 4294967296; it has to be below 4,294,967,296"),
    ],
)
def test_what_only_looks_like_a_number_is_none(override: str, said: str) -> None:
    with pytest.raises(SpecError) as refused:
        build_spec(LEAST, [override])
    assert said in str(refused.value)


@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan"])
@pytest.mark.parametrize("name", ["num_train_epochs", "weight_decay", "max_grad_norm"])
def test_what_is_no_finite_number_is_refused(name: str, value: str) -> None:
    with pytest.raises(SpecError, match=f"training.{name}"):
        build_spec(LEAST, [f"training.{name}={value}"])


def test_aliases_that_unfold_without_end_are_refused_at_once() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    with pytest.raises(SpecError, match="unfold into more than 100,000"):
        parse_yaml("\n".join(lines), "bomb.yaml")


@pytest.mark.parametrize(
    ("group", "values", "said"),
    [
        ("objective", {"kind": "grpo", "rewards": []}, "objective.rewards: is empty; at least one"),
        ("objective", {"kind": "grpo", "rewards": {}}, "objective.rewards: is {}; a list belongs"),
        ("objective", {"kind": "grpo", "rewards": [{}]}, "objective.rewards.0: does not say its"),
        ("objective", {"kind": "grpo"}, "objective.rewards: is missing"),
    ],
)
def test_rewards_that_are_none_are_told_with_what_to_write(
    group: str, values: dict[str, Any], said: str
) -> None:
    with pytest.raises(SpecError) as raised:
        build_spec({**LEAST, group: values})
    (problem,) = raised.value.problems
    assert str(problem).startswith(said)
    assert problem.allowed is not None
    assert problem.allowed.startswith("a list such as [{kind: exact_match}], of the kinds reward_")


@pytest.mark.parametrize(
    ("group", "values", "said"),
    [
        ("training", {"learning_rate": "fast"}, "is 'fast'; a number belongs here"),
        ("training", {"learning_rate": -1}, "is -1; it has to be above 0"),
        ("training", {"max_length": 1.5}, "is 1.5; a whole number belongs here"),
        ("training", {"packing": "maybe"}, "is 'maybe'; true or false belongs here"),
        ("data", {"train": 3}, "is 3; a text belongs here"),
        ("model", {"name_or_path": ""}, "is empty; a text belongs here"),
        ("evaluation", {"score": {"metrics": []}}, "is empty; at least one belongs into it"),
        (
            "objective",
            {
                "kind": "rloo",
                "rewards": [{"kind": "regex", "pattern": "x"}],
                "reward_clip_range": [1],
            },
            "is [1]; at least 2 values belong here",
        ),
    ],
)
def test_faults_are_told_in_words_of_people(group: str, values: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError) as raised:
        build_spec({**LEAST, group: values})
    assert [problem.message for problem in raised.value.problems] == [said]


def test_a_key_of_another_kind_is_not_called_unknown() -> None:
    values = {**LEAST, "method": {"kind": "prompt_tuning", "r": 8, "rr": 8}}
    with pytest.raises(SpecError) as caught:
        build_spec(values)
    (problem, other) = caught.value.problems
    assert str(problem).startswith("method.r: is no key of the kind `prompt_tuning`; allowed: kind")
    assert "num_virtual_tokens" in str(problem)
    assert str(other).startswith("method.rr: unknown key")
    with pytest.raises(SpecError, match=r"--set 'method=\{kind: ia3\}'` leaves out what is there"):
        build_spec({**LEAST, "method": {"kind": "lora", "r": 8}}, ["method.kind=ia3"])
    assert (
        build_spec({**LEAST, "method": {"kind": "lora", "r": 8}}, ["method={kind: ia3}"]).method
        == build_spec({**LEAST, "method": {"kind": "ia3"}}).method
    )
