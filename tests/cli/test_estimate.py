from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.memory.models import TINY
from tui_ft.cli import main
from tui_ft.memory.calibration import Correction
from tui_ft.memory.estimating import Unknown
from tui_ft.memory.figure import Figure, Term
from tui_ft.memory.probing import ProbeAnswer, figure_of_probe
from tui_ft.spec import RunSpec


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTUI_HOME", str(tmp_path / "home"))


@pytest.fixture
def model(tmp_path: Path) -> str:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(TINY))
    return str(folder)


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["estimate", *arguments])


def test_every_method_against_a_card(model: str) -> None:
    result = _run(model, "--seq", "128", "--batch", "2", "--gpu", "24")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    headers = [line.split() for line in lines if line.startswith("method")]
    assert headers == [["method", "trained", "low", "expected", "high", "24", "GB"]] * 2
    middle = lines.index("replayed:")
    closed, replayed = ([row for row in part if row.endswith("fits")] for part in
                        (lines[:middle], lines[middle:]))  # fmt: skip
    assert {row.split()[0] for row in replayed} == {"full", "lora", "qlora"}
    assert {"dora", "ia3", "prefix", "prompt", "p-tuning"} < {row.split()[0] for row in closed}
    for row in replayed:  # the closed form said about the same of the same method
        name, _, _, expected = row.split()[:4]
        (same,) = (other for other in closed if other.split()[0] == name and "," not in name)
        assert float(expected) == pytest.approx(float(same.split()[4 - 1]), abs=0.11)
    assert "2 rows of 128 tokens" in result.output
    assert "CUDA context 0.44" in result.output


def test_as_json_with_the_largest_batch(model: str) -> None:
    arguments = ("--method", "lora", "--seq", "256", "--gpu", "1", "--largest-batch", "--json")
    result = _run(model, *arguments)
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)
    assert found["method"] == "lora"
    assert found["length"] == 256
    assert found["expected"] == sum(term["size"] for term in found["terms"])
    assert found["low"] < found["expected"] < found["high"]
    assert found["largest_batch"] >= 1
    assert found["fits"] == {"1 GB": "fits"}


def test_the_closed_form_alone_asks_for_no_replay(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a step was replayed")

    monkeypatch.setattr("tui_ft.memory.dry_run._ask", refuse)
    result = _run(model, "--quick", "--gpu", "24", "--json")
    assert result.exit_code == 0, result.output
    found = {one["method"]: one for one in json.loads(result.stdout)}
    assert {"full", "lora", "qlora", "dora", "ia3", "prefix"} <= set(found)
    for one in found.values():
        assert one["source"] == "estimate"
        assert one["estimate"]["expected"] == one["expected"]
    assert found["lora"]["expected"] < found["full"]["expected"]


def test_what_fits_and_what_frees_most(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui_ft.memory.dry_run._ask", None)
    arguments = (model, "--method", "lora", "--seq", "512", "--batch", "4", "--free", "2")
    (found,) = json.loads(_run(*arguments, "--json").stdout)
    assert found["fits"] is True
    assert found["largest"]["batch"] > 4
    assert found["largest"]["length"] > 512
    assert found["largest"]["rank"] > 16
    freed = [one["freed"] for one in found["changes"]]
    assert freed == sorted(freed, reverse=True)
    said = _run(*arguments).output
    assert "at most" in said
    assert "lower training.per_device_train_batch_size to 1" in said


def test_a_mixture_has_the_closed_forms_figure_and_says_so(tmp_path: Path) -> None:
    config = {**TINY, "model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2}
    (tmp_path / "config.json").write_text(json.dumps(config))
    arguments = (str(tmp_path), "--method", "lora", "--seq", "64", "--gpu", "24")
    found = json.loads(_run(*arguments, "--json").stdout)[0]
    assert found["parameters"] > 0
    if found["source"] == "estimate":
        assert found["not_replayed"]


def test_any_field_of_a_run_can_be_set(model: str) -> None:
    plain = _run(model, "--method", "full", "--seq", "64", "--gpu", "24", "--json")
    halves = _run(
        model, "--method", "full", "--seq", "64", "--gpu", "24", "--json", "--set",
        "model.dtype=bfloat16",
    )  # fmt: skip
    weights = [
        next(t["size"] for t in json.loads(one.stdout)[0]["terms"] if t["name"] == "weights")
        for one in (plain, halves)
    ]
    assert weights[0] == pytest.approx(2 * weights[1], rel=0.01)


def test_a_method_that_is_set_like_any_field_is_the_only_one(model: str) -> None:
    result = _run(model, "--quick", "--gpu", "24", "--json", "--set", "method.kind=bottleneck")
    (found,) = json.loads(result.stdout)
    assert found["method"] == "bottleneck"
    assert 0 < found["trainable_parameters"] < found["parameters"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("/no/such/folder",), "there is no folder /no/such/folder"),
        (("MODEL", "--gpu", "big"), "--gpu big: write the memory of one in GB"),
        (("MODEL", "--set", "training.optim=magic", "--gpu", "8"), "magic is not known"),
        (("MODEL", "--set", "training.max_length=no"), "training.max_length"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    model: str, arguments: tuple[str, ...], said: str
) -> None:
    result = _run(*(model if argument == "MODEL" else argument for argument in arguments))
    assert said in result.output
    assert "Traceback" not in result.output


def test_a_folder_whose_configuration_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    assert "is no JSON" in _run(str(tmp_path)).output
    (tmp_path / "config.json").write_text("[]")
    result = _run(str(tmp_path))
    assert "no `model_type`" in result.output
    assert result.exit_code == 1


def test_the_rows_of_the_data_decide_how_long_a_step_is(tiny_llama: Path, tmp_path: Path) -> None:
    rows = [{"question": "Say it.", "answer": "word " * count} for count in (3, 40, 5)]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = (str(tiny_llama), "--data", str(data), "--method", "lora", "--gpu", "8", "--json")
    result = _run(*arguments)
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)
    assert 40 <= found["length"] < 400  # not the default of 1,024
    assert 0.3 < found["supervised"] < 1
    assert found["with_room"] >= found["expected"]
    cut = json.loads(_run(*arguments, "--seq", "16").stdout)
    assert cut[0]["length"] == 16
    assert cut[0]["with_room"] is None  # all rows are cut to one length
    missing = _run(str(tiny_llama), "--data", "/nowhere.jsonl")
    assert "/nowhere.jsonl" in missing.output
    assert missing.exit_code == 1


def test_a_well_known_model_is_estimated_without_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    arguments = ("--method", "lora", "--seq", "64", "--batch", "1", "--gpu", "24", "--json")
    result = _run("HuggingFaceTB/SmolLM2-135M-Instruct", *arguments)
    assert result.exit_code == 0, result.output
    assert "ftui's own catalogue" in result.stderr
    (found,) = json.loads(result.stdout)
    assert found["fits"] == {"24 GB": "fits"}


def test_a_probe_prints_what_was_measured_or_why_nothing_was(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int | None] = []

    def probed(run: RunSpec, config: object, *, longest: int | None, **_: object) -> object:
        asked.append(longest)
        if run.method.kind == "full":
            return Unknown("memory ran out on H100: it needs 90.0 GiB at least")
        return figure_of_probe(ProbeAnswer(allocated=2**30, reserved=2 * 2**30))

    monkeypatch.setattr("tui_ft.memory.probing.probe", probed)
    result = _run(model, "--probe", "--method", "lora", "--method", "full")
    assert result.exit_code == 0, result.output
    assert "lora: 2.44 GiB measured: tensors 1.00, fragmentation 1.00" in result.output
    assert "full: no figure: memory ran out on H100" in result.output
    assert asked == [None, None]
    said = json.loads(_run(model, "--probe", "--method", "lora", "--json").stdout)
    assert (said[0]["method"], said[0]["source"]) == ("lora", "probe")


def test_finished_runs_correct_what_is_replayed(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = Figure(
        low=2**30,
        expected=2 * 2**30,
        high=3 * 2**30,
        terms=(Term("weights", 2 * 2**30),),
        stage="backward",
        source="dry run",
    )
    monkeypatch.setattr(
        "tui_ft.memory.estimating.figures", lambda steps, lengths, sharding: [raw] * len(steps)
    )
    by = Correction(runs=5, factor=1.5, worst_under=0.5, least=1.5, most=1.5)
    monkeypatch.setattr("tui_ft.runs.measured_memory.machine_correction", lambda method: by)
    arguments = ("--method", "lora", "--gpu", "24")
    said = _run(model, *arguments).output
    assert (
        "lora: corrected by 1.50 from 5 runs on this machine; computed were 1.0, 2.0, 3.0" in said
    )
    (found,) = json.loads(_run(model, *arguments, "--json").stdout)
    assert found["expected"] > raw.expected
    assert found["computed"]["expected"] == raw.expected


@pytest.mark.parametrize("size", ["inf", "1e400", "0", "-1", "nan", "two"])
def test_a_size_that_no_gpu_has_is_refused(size: str, model: str) -> None:
    result = _run(model, "--quick", "--free", size)
    assert result.exit_code == 1
    assert result.stderr == f"--free {size}: write its memory in GB, such as 24 or 80\n"
    result = _run(model, "--quick", "--gpu", size)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"--gpu {size}: ")
    assert "such as 24" in result.stderr


def test_gpus_are_named_as_for_advice(model: str) -> None:
    named = _run(model, "--quick", "--method", "lora", "--json", "--gpu", "2xA100-80GB")
    (found,) = json.loads(named.stdout)
    assert found["fits"] == {"A100 80 GB": "fits"}
    assert found["sharding"]["gpus"] == 2
    sized = _run(model, "--quick", "--method", "lora", "--json", "--gpu", "8GB")
    assert json.loads(sized.stdout)[0]["fits"] == {"8 GB": "fits"}


def test_the_largest_batch_is_not_asked_for_in_vain(model: str) -> None:
    result = _run(model, "--quick", "--largest-batch", "--gpu", "24")
    assert result.exit_code == 2
    assert "--quick replays none" in result.stderr


def test_a_probe_that_measured_nothing_ends_with_1(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui_ft.memory.probing.probe", lambda *_, **__: Unknown("there is no GPU"))
    result = _run(model, "--probe", "--method", "lora", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == [{"method": "lora", "problem": "there is no GPU"}]


def test_several_gpus_and_offload_have_figures_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    llama = ("meta-llama/Llama-3.1-8B", "--quick", "--json", "--method", "full", "--seq", "512")

    def found(*arguments: str) -> dict[str, Any]:
        result = _run(*llama, *arguments)
        assert result.exit_code == 0, result.output
        (one,) = json.loads(result.stdout)
        return dict(one)

    kind, moved = ("hardware.distributed.kind=fsdp", "hardware.distributed.cpu_offload=true")
    alone, shared = found("--gpu", "80"), found("--gpu", "8x80", "--set", kind)
    assert "sharding" not in alone
    assert shared["sharding"]["gpus"] == 8
    assert shared["host"]["held"] == 0
    assert shared["host"]["loading"] == pytest.approx(4 * 8.03e9, rel=0.01)
    away = found("--set", "hardware.num_gpus=8", "--gpu", "80", "--set", kind, "--set", moved)
    assert away["host"]["held"] == pytest.approx(16 * 8.03e9, rel=0.01)
    assert alone["expected"] > shared["expected"] > away["expected"]
    said = _run(*llama[:2], "--gpu", "8x80", "--set", kind, "--set", moved).output
    assert "each of 8 GPUs (FSDP2, offloaded to the host)" in said
    assert "full: of the host's memory 120 GiB held there, pinned, 29.9 GiB while" in said
    assert "lora, 8 bits" not in said  # which cannot be shared out
    alone_with = _run(*llama, "--gpu", "80", "--set", kind)
    assert alone_with.exit_code == 1
    assert "say how many by --set hardware.num_gpus=8" in alone_with.output
