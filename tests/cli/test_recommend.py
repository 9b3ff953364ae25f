from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import Ftui, in_a_process
from tests.tiny_model import chat_rows, write_rows
from tui_ft.spec import load_spec
from tui_ft.spec.chain import load_chain
from tui_ft.spec.online import GrpoObjective
from tui_ft.spec.rewards import ExactMatchReward


@pytest.fixture
def rows(tmp_path: Path, home: Path) -> Path:
    return write_rows(tmp_path / "rows.jsonl", chat_rows(700))


def test_the_path_the_ways_and_the_run(ftui: Ftui, rows: Path, tiny_llama: Path) -> None:
    result = ftui("recommend", str(tiny_llama), str(rows), "--goal", "style", "--gpu", "24")
    assert result.exit_code == 0, result.output
    said = result.stdout
    assert "▸ style: it should answer in another style" in said
    assert "? chat: a chat model" in said
    assert "✔ answers: how to answer" in said
    assert "GPU 0 24 GB card (taken for an RTX 4090): 23.5 GiB free of 23.5 GiB" in said
    assert "▸✔  LoRA" in said
    assert "parameters cost little: worth a second run" in said
    assert "method.r                              8  (see rank)" in said


def test_too_few_rows_are_answered_without_a_run(
    ftui: Ftui, tiny_llama: Path, tmp_path: Path, home: Path
) -> None:
    few = write_rows(tmp_path / "few.jsonl", chat_rows(120))
    for gpu in ("24", "none"):
        result = ftui("recommend", str(tiny_llama), str(few), "--gpu", gpu)
        assert result.exit_code == 0, result.output
        assert "examples in the prompt" in result.stdout


def test_as_json_with_answers(ftui: Ftui, rows: Path, tiny_llama: Path) -> None:
    arguments = ("--goal", "style", "--gpu", "none", "--answer", "method=full", "--json")
    result = ftui("recommend", str(tiny_llama), str(rows), *arguments)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["run"]["method"]["kind"] == "full"
    assert found["run"]["hardware"]["gpus"] == "none"
    (method,) = (one for one in found["path"] if one["node"] == "method")
    assert (method["choice"], method["how"], method["own"]) == ("full", "asked", "lora")
    assert "forgetting" in {one["id"] for one in found["cautions"]}


def test_what_needs_no_training_has_nothing_to_write(
    ftui: Ftui, rows: Path, tiny_llama: Path, tmp_path: Path
) -> None:
    file = tmp_path / "run.yaml"
    arguments = ("--goal", "knowledge", "--gpu", "24", "--write", str(file))
    result = ftui("recommend", str(tiny_llama), str(rows), *arguments)
    assert result.exit_code == 1
    assert "no run: retrieval (RAG) needs no run" in result.output
    assert not file.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--gpu", "big"), "--gpu big: write the memory of one in GB"),
        (("--answer", "rank"), "is not NODE=CHOICE"),
        (("--answer", "rnak=8"), "did you mean `rank`?"),
        (("--answer", "method=magic"), "there is no answer `magic`"),
    ],
)
def test_bad_input_is_a_sentence(
    ftui: Ftui, rows: Path, tiny_llama: Path, arguments: tuple[str, ...], said: str
) -> None:
    result = ftui("recommend", str(tiny_llama), str(rows), *arguments)
    assert result.exit_code != 0
    assert said in result.output
    assert "Traceback" not in result.output


def test_data_that_are_not_there(ftui: Ftui, tiny_llama: Path) -> None:
    result = ftui("recommend", str(tiny_llama), "/nowhere.jsonl")
    assert result.exit_code == 1
    assert "/nowhere.jsonl" in result.output


def test_pairs_become_a_run_on_the_better_answers(
    ftui: Ftui, tiny_llama: Path, tmp_path: Path, home: Path
) -> None:
    """DPO is the second stage of a chain; `ftui chain check` has nothing against it."""
    pairs: list[dict[str, object]] = [
        {
            "conversations": [{"from": "human", "value": f"What is {n} and {n}?"}],
            "chosen": {"from": "gpt", "value": f"It is {2 * n}, of course, as everybody knows."},
            "rejected": {"from": "gpt", "value": "I would not know."},
        }
        for n in range(200)
    ]
    data, file = write_rows(tmp_path / "pairs.jsonl", pairs), tmp_path / "chain.yaml"
    arguments = (str(tiny_llama), str(data), "--answer", "model_kind=base", "--write", str(file))
    told = ftui("recommend", *arguments)
    assert told.exit_code == 0, told.output
    assert "sft_then_dpo: SFT on the better answers, then DPO" in told.output
    assert "stage 2 of 2: direct preference optimisation (DPO)" in told.output
    columns = {"prompt": "conversations", "completion": "chosen"}
    assert [stage.name for stage in load_chain(file).stages] == ["sft", "dpo"]
    assert load_chain(file).stages[0].run.data.columns == columns
    checked = ftui("chain", "check", str(file), "--no-memory")
    assert checked.exit_code == 0, checked.output


def test_columns_that_a_person_maps_go_into_the_run(
    ftui: Ftui, tiny_llama: Path, tmp_path: Path, home: Path
) -> None:
    odd: list[dict[str, object]] = [
        {"q": f"What is {n} and {n}?", "a": f"It is {2 * n}, as everybody knows.", "b": "No idea."}
        for n in range(150)
    ]
    data = write_rows(tmp_path / "odd.jsonl", odd)
    mapped = ("prompt=q", "chosen=a", "rejected=b")
    columns = [part for column in mapped for part in ("--column", column)]
    told = ftui("recommend", str(tiny_llama), str(data), *columns, "--gpu", "24", "--json")
    assert told.exit_code == 0, told.output
    run = json.loads(told.stdout)["run"]
    assert run["objective"]["kind"] == "dpo"
    assert run["data"]["columns"] == {"prompt": "q", "chosen": "a", "rejected": "b"}


def test_evaluation_data_are_taken_and_looked_through(
    ftui: Ftui, rows: Path, tiny_llama: Path, tmp_path: Path
) -> None:
    examined = write_rows(tmp_path / "examined.jsonl", chat_rows(60, seed=7))
    arguments = ("--goal", "style", "--gpu", "24", "--eval", str(examined), "--json")
    found = json.loads(ftui("recommend", str(tiny_llama), str(rows), *arguments).stdout)
    assert found["run"]["data"]["eval"] == str(examined)
    (evaluation,) = (one for one in found["path"] if one["node"] == "evaluation")
    assert (evaluation["choice"], evaluation["how"]) == ("file", "asked")


def _without_template(model: Path, folder: Path) -> Path:
    """Return a copy of a model whose tokenizer has no chat template, as those of base models."""
    folder.mkdir()
    for part in model.iterdir():
        if part.name != "chat_template.jinja":
            (folder / part.name).write_bytes(part.read_bytes())
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.slow
def test_several_gpus_are_advised_for_printed_and_written(
    ftui: Ftui, rows: Path, tiny_llama: Path, tmp_path: Path
) -> None:
    file = tmp_path / "run.yaml"
    arguments = ("--goal", "style", "--gpu", "8x80", "--write", str(file))
    told = ftui("recommend", str(tiny_llama), str(rows), *arguments)
    assert told.exit_code == 0, told.output
    assert "79.1 GiB free on each GPU (GiB: low, expected, high)" in told.output
    assert "on each of 8" in told.output
    spec = load_spec(file)
    assert (spec.hardware.gpus, spec.hardware.num_gpus) == ("auto", 8)
    assert spec.hardware.distributed is not None
    assert spec.hardware.distributed.kind == "ddp"
    written = file.read_text()
    assert "  distributed:\n    # DDP: all of it fits each GPU" in written
    assert "    kind: ddp\n" in written
    assert "find_unused_parameters" not in written  # as it is by default


def test_what_is_recommended_trains_as_it_stands(
    ftui: Ftui, rows: Path, tiny_llama: Path, tmp_path: Path
) -> None:
    """Of a base model without a chat template, which needs one to learn from dialogues."""
    model, file = _without_template(tiny_llama, tmp_path / "base"), tmp_path / "run.yaml"
    # Fewer epochs than are advised, so that the test is quick: everything else is as it stands.
    arguments = ("--goal", "style", "--answer", "epochs=0.1", "--write", str(file))
    told = ftui("recommend", str(model), str(rows), *arguments)
    assert told.exit_code == 0, told.output
    assert "base: a base model" in told.output
    assert file.stat().st_mode & 0o777 == 0o600
    assert "is there already" in ftui("recommend", str(model), str(rows), *arguments).output
    spec = load_spec(file)
    assert spec.training.num_train_epochs == 0.1
    assert spec.model.chat_template == "plain"
    done = in_a_process("train", str(file), FTUI_HOME=os.environ["FTUI_HOME"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "finished" in done.stdout.splitlines()[-1]


def _sums(file: Path, number: int = 200) -> Path:
    """Write sums with their working, and the final answer after `####`."""
    rows: list[dict[str, object]] = [
        {
            "question": f"Anna has {n} apples and buys {n + 1} more. How many has she now?",
            "answer": f"She has {n} and {n + 1}, which is {n} + {n + 1}.\n#### {2 * n + 1}",
        }
        for n in range(number)
    ]
    return write_rows(file, rows)


def test_sums_become_a_chain_that_can_be_started(
    ftui: Ftui, tiny_llama: Path, tmp_path: Path, home: Path
) -> None:
    """A base model learns the form first; what GRPO rewards is found in the rows."""
    data, file = _sums(tmp_path / "sums.jsonl"), tmp_path / "chain.yaml"
    model = _without_template(tiny_llama, tmp_path / "base")
    said = ("--answer", "solves=unformed", "--gpu", "24", "--write", str(file))
    told = ftui("recommend", str(model), str(data), *said)
    assert told.exit_code == 0, told.output
    assert "sft_then_grpo: SFT, so that answers are in form, then GRPO" in told.output
    assert "stage 2 of 2: group relative policy optimisation (GRPO)" in told.output
    assert f"`ftui chain start {file}` starts it" in told.output
    chain = load_chain(file)
    assert [stage.run.objective.kind for stage in chain.stages] == ["sft", "grpo"]
    learns = chain.stages[1].run
    assert learns.model.name_or_path == "previous"
    assert isinstance(learns.objective, GrpoObjective)
    (reward,) = learns.objective.rewards
    assert isinstance(reward, ExactMatchReward)
    assert (reward.extract, reward.extract_reference) == ("last_number", "after_hashes")
    on_cpu = [f"--set={stage.name}.hardware.gpus=none" for stage in chain.stages]
    checked = ftui("chain", "check", str(file), "--no-memory", *on_cpu)
    assert checked.exit_code == 0, checked.output


def test_as_json_the_chain_is_what_chain_start_takes(
    ftui: Ftui, tiny_llama: Path, tmp_path: Path, home: Path
) -> None:
    data = _sums(tmp_path / "sums.jsonl")
    said = ("--answer", "objective=sft_then_grpo", "--gpu", "24", "--json")
    found = json.loads(ftui("recommend", str(tiny_llama), str(data), *said).stdout)
    file = tmp_path / "chain.yaml"
    file.write_text(json.dumps(found["chain"]))
    chain = load_chain(file)
    assert [stage.name for stage in chain.stages] == ["sft", "grpo"]
    assert [one["objective"] for one in found["phases"]] == ["sft", "grpo"]
    assert all(one["expected"] > 0 for one in found["phases"])
    assert found["fill"] == []


def test_what_is_rewarded_has_to_be_filled_in(
    ftui: Ftui, tiny_llama: Path, tmp_path: Path, home: Path
) -> None:
    prompts: list[dict[str, object]] = [{"prompt": f"Say {n} things."} for n in range(150)]
    data, file = write_rows(tmp_path / "prompts.jsonl", prompts), tmp_path / "run.yaml"
    said = (str(tiny_llama), str(data), "--answer", "solves=some", "--gpu", "none")
    told = ftui("recommend", *said, "--write", str(file))
    assert told.exit_code == 0, told.output
    assert "no run: grpo: objective.rewards is left to you" in told.output
    assert "fill in objective.rewards (marked FILL IN)" in told.output
    refused = ftui("check", str(file), "--no-memory")
    assert refused.exit_code != 0
    assert "objective.rewards" in refused.output
    reward = "{kind: length, target: 20}"
    file.write_text(file.read_text().replace("rewards: []", f"rewards: [{reward}]"))
    checked = ftui("check", str(file), "--no-memory")
    assert checked.exit_code == 0, checked.output
    assert load_spec(file).data.columns == {"instruction": "prompt"}
    asked = ftui("recommend", *said, "--reward", "http://localhost:1/score", "--json")
    (given,) = json.loads(asked.stdout)["run"]["objective"]["rewards"]
    assert (given["kind"], given["url"]) == ("http", "http://localhost:1/score")


def test_rows_as_verl_lays_them_out_make_a_run_that_can_be_checked(
    ftui: Ftui, tiny_llama: Path, tmp_path: Path, home: Path
) -> None:
    asked = ({"role": "user", "content": f"What is {n} + {n}, and how?"} for n in range(200))
    rows = write_rows(
        tmp_path / "sums.jsonl",
        [
            {"prompt": [turn], "reward_model": {"style": "rule", "ground_truth": str(2 * n)}}
            for n, turn in enumerate(asked)
        ],
    )
    file = tmp_path / "run.yaml"
    arguments = ("--gpu", "24", "--answer", "solves=some", "--write", str(file))
    result = ftui("recommend", str(tiny_llama), str(rows), *arguments)
    assert result.exit_code == 0, result.output
    assert "the column `reward_model.ground_truth` holds what is right" in " ".join(
        result.stdout.replace("│", " ").split()
    )
    spec = load_spec(file)
    assert isinstance(spec.objective, GrpoObjective)
    (reward,) = spec.objective.rewards
    assert isinstance(reward, ExactMatchReward)
    assert reward.extract == "last_number"
    checked = ftui("check", str(file))
    assert "prompts without one" not in checked.output
    assert "prompt_only" in checked.output
