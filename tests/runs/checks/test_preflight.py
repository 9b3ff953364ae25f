from __future__ import annotations

import dataclasses
import gzip
import json
import shutil
from collections import namedtuple
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tui_ft.hardware import Gpu, GpuProcess
from tui_ft.runs.checks.finding import Finding
from tui_ft.runs.checks.preflight import check, refusal
from tui_ft.spec import RunSpec
from tui_ft.spec.objectives import SftObjective
from tui_ft.spec.online import RlooObjective
from tui_ft.spec.run_spec import HardwareSpec

GB = 1_000_000_000
GIB = 1 << 30


def _with(spec: RunSpec, **groups: dict[str, Any]) -> RunSpec:
    changed = {
        name: getattr(spec, name).model_copy(update=values) for name, values in groups.items()
    }
    return spec.model_copy(update=changed)


def _on(spec: RunSpec, **hardware: Any) -> RunSpec:
    return spec.model_copy(update={"hardware": HardwareSpec.model_validate(hardware)})


def _bad(findings: tuple[Finding, ...]) -> list[str]:
    return [finding.text for finding in findings if finding.severity == "bad"]


def _gpu(free: float, **more: Any) -> Gpu:
    total = 80 * GIB
    return Gpu(
        index=0,
        uuid="GPU-0",
        name="H100",
        memory_total_bytes=total,
        memory_free_bytes=int(free),
        memory_used_bytes=int(total - free),
        **more,
    )


def _grow_model(spec: RunSpec, size: int) -> None:
    """Make the model's weights look large without writing them."""
    with (Path(spec.model.name_or_path) / "model.safetensors").open("r+b") as file:
        file.truncate(size)


def test_a_sound_run_has_nothing_against_it(spec: RunSpec, tmp_path: Path) -> None:
    findings = check(spec, tmp_path)
    assert [finding.severity for finding in findings] == ["note"]
    assert "prompt_completion" in findings[0].text
    assert refusal(findings) is None


def test_a_missing_file_is_refused_with_the_nearest_name(spec: RunSpec, tmp_path: Path) -> None:
    findings = check(_with(spec, data={"train": str(tmp_path / "dta.jsonl")}), tmp_path)
    assert f"did you mean {tmp_path / 'data.jsonl'}?" in _bad(findings)[0]
    ended = refusal(findings)
    assert ended is not None
    assert (ended.state, ended.reason) == ("failed", _bad(findings)[0])


def test_unreadable_rows_are_told_with_their_line(spec: RunSpec, tmp_path: Path) -> None:
    data = Path(spec.data.train)
    lines = data.read_text().splitlines()
    lines[3] = '{"prompt": '
    data.write_text("\n".join(lines))
    warnings = [f.text for f in check(spec, tmp_path) if f.severity == "warning"]
    assert len(warnings) == 1
    assert "1 of the first 30 rows" in warnings[0]
    assert "line 4" in warnings[0]


def test_a_file_of_nothing_but_broken_rows_is_refused(spec: RunSpec, tmp_path: Path) -> None:
    Path(spec.data.train).write_text("nonsense\n" * 3)
    assert "line 1" in _bad(check(spec, tmp_path))[0]


def test_unknown_columns_are_refused_with_their_names(spec: RunSpec, tmp_path: Path) -> None:
    Path(spec.data.train).write_text(json.dumps({"foo": "a", "bar": "b"}) + "\n")
    assert "bar, foo" in _bad(check(spec, tmp_path))[0]


def test_rows_that_sft_cannot_learn_from_are_refused_with_the_way_out(
    spec: RunSpec, tmp_path: Path
) -> None:
    row = {"prompt": "2+2=", "chosen": "4", "rejected": "5"}
    Path(spec.data.train).write_text(f"{json.dumps(row)}\n" * 30)
    (said,) = _bad(check(spec, tmp_path))
    assert "hold preferences" in said
    assert "data.columns to {prompt: prompt, completion: chosen}" in said
    columns = {"prompt": "prompt", "completion": "chosen"}
    assert not _bad(check(_with(spec, data={"columns": columns}), tmp_path))


def test_an_evaluation_file_is_looked_at_too(spec: RunSpec, tmp_path: Path) -> None:
    evaluation = tmp_path / "eval.jsonl.gz"
    with gzip.open(evaluation, "wt") as file:
        file.write('{"text": "hello"}\n')
    assert not _bad(check(_with(spec, data={"eval": str(evaluation)}), tmp_path))
    evaluation.write_bytes(b"")
    assert "is empty" in _bad(check(_with(spec, data={"eval": str(evaluation)}), tmp_path))[0]


def test_a_folder_that_is_no_model_is_refused(spec: RunSpec, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name, said in ((str(tmp_path / "empty"), "config.json"), ("/nowhere/model", "no folder")):
        assert said in _bad(check(_with(spec, model={"name_or_path": name}), tmp_path))[0]


def test_full_fine_tuning_that_cannot_fit_the_disk_is_refused(
    spec: RunSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _grow_model(spec, 16 * GB)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100 * GB, 60 * GB, 40 * GB))
    full = spec.model_copy(
        update={
            "method": type(spec)
            .model_validate({**spec.model_dump(), "method": {"kind": "full"}})
            .method
        }
    )
    assert "40.0 GB are free" in _bad(check(full, tmp_path))[0]
    assert not _bad(check(spec, tmp_path))  # LoRA writes a few per cent of that


def test_a_gpu_plainly_too_small_is_said_and_who_holds_the_rest(
    spec: RunSpec, tmp_path: Path
) -> None:
    _grow_model(spec, 16 * GB)
    holder = GpuProcess(pid=4242, user="bob", memory_bytes=70 * GIB)
    findings = check(spec, tmp_path, [_gpu(10 * GIB, processes=(holder,))])
    (warning,) = [f.text for f in findings if f.severity == "warning"]
    assert "10.0 GiB free of 80.0 GiB" in warning
    assert "at least 14.9 GiB" in warning
    assert "bob (pid 4242, 70.0 GiB)" in warning
    assert not [f for f in check(spec, tmp_path, [_gpu(60 * GIB)]) if f.severity != "note"]


def test_how_many_processes_train_is_said(spec: RunSpec, tmp_path: Path) -> None:
    def said(findings: Sequence[Finding]) -> list[str]:
        return [f.text for f in findings if "processes" in f.text]

    two = [_gpu(60 * GIB), dataclasses.replace(_gpu(60 * GIB), index=1, uuid="GPU-1")]
    spread = _on(spec, gpus=[0, 1], distributed={"kind": "fsdp"})
    assert said(check(spread, tmp_path, two)) == [
        "2 processes on GPUs 0, 1, FSDP2: 2 x 4 rows a step"
    ]
    plain = _on(spec, gpus=[0, 1])
    assert said(check(plain, tmp_path, two))[0].startswith("2 processes on GPUs 0, 1, DDP")
    on_cpu = _on(spec, gpus="none", cpu_processes=4000)
    note, warning = said(check(on_cpu, tmp_path))
    assert note.startswith("4000 processes on the CPU, DDP")
    assert "hardware.cpu_processes is 4000" in warning
    assert not said(check(_on(spec, gpus=[1]), tmp_path, two[1:]))


def test_deepspeed_that_is_not_installed_is_refused_with_what_does_the_same(
    spec: RunSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui_ft.runs.checks.preflight.has_deepspeed", lambda: False)
    two = [_gpu(60 * GIB), dataclasses.replace(_gpu(60 * GIB), index=1, uuid="GPU-1")]
    spread = _on(spec, gpus=[0, 1], distributed={"kind": "deepspeed"})
    (bad,) = [f for f in check(spread, tmp_path, two) if f.severity == "bad"]
    assert "DeepSpeed is not installed" in bad.text
    assert bad.advice is not None
    assert "fsdp" in bad.advice
    assert any(
        "each of the 2 processes reads the whole" in f.text for f in check(spread, tmp_path, two)
    )
    zero2 = _on(spec, gpus=[0, 1], distributed={"kind": "deepspeed", "zero_stage": 2})
    assert not any("reads the whole model" in f.text for f in check(zero2, tmp_path, two))


def test_gpus_of_two_kinds_are_said(spec: RunSpec, tmp_path: Path) -> None:
    other = dataclasses.replace(_gpu(60 * GIB), index=1, uuid="GPU-1", name="L4")
    findings = check(_on(spec, gpus=[0, 1]), tmp_path, [_gpu(60 * GIB), other])
    assert any("not of one kind" in f.text and "1 L4" in f.text for f in findings)


def test_too_few_rows_are_said(spec: RunSpec, tmp_path: Path) -> None:
    Path(spec.data.train).write_text('{"prompt": "a", "completion": "b"}\n' * 5)
    assert any("only 5 training rows" in f.text for f in check(spec, tmp_path))


def test_an_objective_is_held_against_data_rate_and_the_rest(spec: RunSpec, tmp_path: Path) -> None:
    row = {"prompt": "2+2=", "chosen": "4", "rejected": "5"}
    Path(spec.data.train).write_text(f"{json.dumps(row)}\n" * 30)
    values = {**spec.model_dump(), "objective": {"kind": "dpo"}}
    dpo = RunSpec.model_validate(values)
    findings = check(dpo, tmp_path)
    assert not _bad(findings)
    (warning,) = [f for f in findings if f.severity == "warning"]
    assert "is far from what dpo with lora is trained with" in warning.text
    judged = RunSpec.model_validate({**values, "objective": {"kind": "kto"}})
    assert not _bad(check(judged, tmp_path))
    classes = RunSpec.model_validate({**values, "objective": {"kind": "classification"}})
    assert "objective.kind to dpo" in _bad(check(classes, tmp_path))[0]
    packed = RunSpec.model_validate({**values, "training": {"packing": True}})
    ended = refusal(check(packed, tmp_path))
    assert ended is not None
    assert "joins texts into one row" in ended.reason
    assert "set training.packing to false" in ended.advice


def test_data_that_are_mixed_in_are_looked_at_as_well(spec: RunSpec, tmp_path: Path) -> None:
    general = tmp_path / "general.jsonl"
    general.write_text('{"body": "some text"}\n' * 30)
    mix = {"train": str(general), "columns": {"text": "body"}}
    values = spec.model_dump()
    values["data"]["mix"] = mix
    findings = check(RunSpec.model_validate(values), tmp_path)
    assert not _bad(findings)
    assert any(f.text.startswith("mixed in data: text") for f in findings)
    values["data"]["mix"] = {**mix, "train": str(tmp_path / "absent.jsonl")}
    assert "absent.jsonl" in _bad(check(RunSpec.model_validate(values), tmp_path))[0]


def test_checkpoints_of_every_method_are_weighed(spec: RunSpec, tmp_path: Path) -> None:
    for kind in ("freeze", "ia3", "prompt_tuning", "prefix_tuning", "p_tuning", "ln_tuning"):
        changed = RunSpec.model_validate({**spec.model_dump(), "method": {"kind": kind}})
        assert not _bad(check(changed, tmp_path, [_gpu(60 * GIB)]))


def test_what_checkpoints_will_take_is_said_and_held_against_a_budget(
    spec: RunSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": 1000,
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 10,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "tie_word_embeddings": True,
    }
    (Path(spec.model.name_or_path) / "config.json").write_text(json.dumps(config))
    parameters = 1000 * 1024 + 10 * (4 * 1024**2 + 3 * 1024 * 4096 + 2 * 1024) + 1024
    full = RunSpec.model_validate({**spec.model_dump(), "method": {"kind": "full"}})
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100 * GB, 60 * GB, 40 * GB))
    (said,) = [f.text for f in check(full, tmp_path) if f.text.startswith("checkpoints: ")]
    one = 3 * 4 * parameters  # float32 weights and AdamW's two moments
    assert said.startswith(f"checkpoints: at most 3 of {one / 1e9:.2f} GB at once")
    assert f"weights {4 * parameters / 1e6:.0f} MB" in said
    assert f"{3 * one / 1e9:.2f} GB of 40.0 GB free" in said
    tight = _with(full, output={"checkpoint_budget": 3.0})
    (warning,) = [f.text for f in check(tight, tmp_path) if "budget" in f.text]
    assert "output.checkpoint_budget of 3.00 GB holds less than the best and the last" in warning
    share = _with(full, output={"checkpoint_budget": 0.5}, training={"save_total_limit": None})
    assert any(f.text.startswith("checkpoints: at most 10 of") for f in check(share, tmp_path))


@pytest.mark.parametrize(("name", "value"), [("eval_fraction", 0.1), ("eval", "x.jsonl")])
@pytest.mark.parametrize(
    ("objective", "severity", "said"),
    [
        (SftObjective(), "note", "the held-out rows are evaluated once, at the end"),
        (
            RlooObjective.model_validate({"rewards": [{"kind": "length", "target": 8}]}),
            "warning",
            "no held-out row is ever looked at",
        ),
    ],
)
def test_how_seldom_held_out_rows_are_looked_at_is_told(
    spec: RunSpec,
    tmp_path: Path,
    name: str,
    value: object,
    objective: SftObjective | RlooObjective,
    severity: str,
    said: str,
) -> None:
    data = {"eval": None, "eval_fraction": 0.0, name: value}
    unseen = _with(spec, data=data, training={"eval_steps": None})
    unseen = unseen.model_copy(update={"objective": objective})
    told = [one for one in check(unseen, tmp_path) if said in one.text]
    assert [one.severity for one in told] == [severity]
    assert "training.eval_steps" in (told[0].advice or "")
    seen = check(_with(spec, data=data, training={"eval_steps": 0.5}), tmp_path)
    assert not any("held-out row" in one.text for one in seen)
