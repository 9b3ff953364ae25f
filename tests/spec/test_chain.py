"""Chains as they are written down, and what is said of one that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tui_ft.chains.check import as_run
from tui_ft.spec import SpecError
from tui_ft.spec.chain import Reference, dump_chain, load_chain

THREE = """\
name: rlhf
stages:
- name: sft
  preset: sft-lora
  run:
    model: {name_or_path: org/model}
    data: {train: chats.jsonl}
- name: reward
  preset: reward-lora
  run:
    model: {name_or_path: previous}
    data: {train: pairs.jsonl}
- name: dpo
  preset: dpo-lora
  run:
    model: {name_or_path: "stage:sft"}
    data: {train: pairs.jsonl}
    training: {learning_rate: 1e-5}
"""


def _file(folder: Path, text: str) -> Path:
    file = folder / "chain.yaml"
    file.write_text(text)
    return file


def _said(folder: Path, text: str, *overrides: str) -> str:
    with pytest.raises(SpecError) as caught:
        load_chain(_file(folder, text), overrides)
    return str(caught.value)


def test_stages_start_from_presets_and_are_whole_runs(tmp_path: Path) -> None:
    chain = load_chain(_file(tmp_path, THREE), ["dpo.objective.beta=0.3"])
    sft, reward, dpo = (stage.run for stage in chain.stages)
    assert (sft.name, reward.name, dpo.name) == ("rlhf-sft", "rlhf-reward", "rlhf-dpo")
    assert (sft.training.learning_rate, dpo.training.learning_rate) == (2e-4, 1e-5)
    assert dpo.objective.kind == "dpo" and dpo.objective.beta == 0.3
    assert dpo.training.max_length == 2048  # the preset's


def test_references_are_found_and_filled(tmp_path: Path) -> None:
    chain = load_chain(_file(tmp_path, THREE))
    sft, reward, dpo = chain.stages
    assert chain.references(sft) == ()
    for stage in (reward, dpo):
        assert chain.references(stage) == (Reference("model.name_or_path", "sft"),)
    assert chain.filled(dpo, lambda name: f"/runs/{name}").model.name_or_path == "/runs/sft"
    assert [chain.first_model(stage) for stage in chain.stages] == ["org/model"] * 3


def test_a_chain_written_is_the_chain_read(tmp_path: Path) -> None:
    chain = load_chain(_file(tmp_path, THREE))
    assert load_chain(_file(tmp_path, dump_chain(chain))) == chain


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: reward\n", "name: sft\n", "chain.yaml:8: sft: is the name of two stages"),
        ("org/model", "previous", "no stage stands before the first"),
        ("stage:sft", "stage:ppo", "names the stage ppo, which does not stand before it"),
        ("stage:sft", "stage:dpo", "allowed: stage:sft, stage:reward"),
        ("stage:sft", "previous", "dpo.model.name_or_path: names the stage reward, whose model"),
        ("learning_rate: 1e-5", "learning_rte: 1e-5", "chain.yaml:18: dpo.training.learning_rte"),
        ("learning_rate: 1e-5", "learning_rate: 7", "dpo.training.learning_rate: is 7"),
        ("preset: dpo-lora", "preset: dpo-lara", "no such file, and no preset of that name"),
        ("preset: dpo-lora", "prest: dpo-lora", "chain.yaml:14: stages.2.prest: unknown key"),
        ("preset: sft-lora", "preset: sft-prompt-tuning", "learns tokens before every row"),
        ("name: rlhf", "name: a/b", "chain.yaml:1: name"),
        ("    data: {train: chats.jsonl}\n", "", "sft.data: is missing"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert old in THREE
    assert said in _said(tmp_path, THREE.replace(old, new, 1))


def test_an_empty_file_is_told_what_a_chain_has(tmp_path: Path) -> None:
    assert "is empty; allowed: version, name, description, stages" in _said(tmp_path, "")


def test_what_is_set_names_a_stage(tmp_path: Path) -> None:
    said = _said(tmp_path, THREE, "training.max_steps=3")
    assert "does not begin with a stage's name" in said and "dpo.KEY=VALUE" in said


def test_a_runs_file_beside_the_chains_is_a_start_too(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("training: {learning_rate: 0.003}\n")
    text = THREE.replace("preset: sft-lora", "preset: mine.yaml")
    assert load_chain(_file(tmp_path, text)).stages[0].run.training.learning_rate == 0.003


FURTHER = """\
stages:
- name: sft
  preset: sft-qlora
  run:
    model: {name_or_path: org/model}
    data: {train: chats.jsonl}
    method: {kind: qlora, r: 8}
- name: dpo
  run:
    model: {name_or_path: previous, adapter: continue}
    data: {train: pairs.jsonl}
    objective: {kind: dpo}
    method: {kind: KIND}
"""


def test_an_adapter_is_trained_further_as_what_it_is(tmp_path: Path) -> None:
    for kind in ("qlora", "lora"):
        chain = load_chain(_file(tmp_path, FURTHER.replace("KIND", kind)))
        assert as_run(chain, chain.stages[1]).method.r == 8  # type: ignore[union-attr]
    assert "method.kind has to be qlora too, and is ia3" in _said(
        tmp_path, FURTHER.replace("KIND", "ia3")
    )
    whole = FURTHER.replace("{kind: qlora, r: 8}", "{kind: full}").replace("sft-qlora", "sft-full")
    assert "leaves a whole model (full)" in _said(tmp_path, whole.replace("KIND", "lora"))
