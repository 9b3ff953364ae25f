"""A run that begins with what an earlier one left: merged, trained on, loaded by plain peft."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.tiny_model import pair_rows, write_rows
from tests.train.running import Ran, make_spec, run_worker
from tui_ft.hub import locate_model
from tui_ft.hub.outputs import bases_of
from tui_ft.memory.model_facts import model_facts
from tui_ft.runs import events as ev
from tui_ft.runs.checks import preflight
from tui_ft.runs.own_models import own_models
from tui_ft.spec import RunSpec
from tui_ft.survey.request import TokenRequest

LORA = {"kind": "lora", "r": 8, "lora_alpha": 16}
TEMPLATE = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}{# its own #}"  # noqa: E501


@dataclass
class Chain:
    """SFT, then DPO on its output."""

    work: Path
    tiny: Path
    sft: Ran
    dpo: Ran

    def spec(self, **groups: Any) -> RunSpec:
        """Return a run of three steps on preferences that begins with the adapter of SFT."""
        given = {"model": {"name_or_path": "run:sft"}, **groups}
        return _dpo(self.work, self.tiny, max_steps=3, **given)


def _dpo(work: Path, tiny: Path, max_steps: int, **groups: Any) -> RunSpec:
    pairs = work / "pairs.jsonl"
    if not pairs.exists():
        write_rows(pairs, pair_rows(120))
    return make_spec(
        work,
        tiny,
        **{
            "data": {"train": str(pairs)},
            "objective": {"kind": "dpo"},
            "method": LORA,
            "training": {"learning_rate": 1e-2, "max_steps": max_steps, "max_length": 64},
            **groups,
        },
    )


@pytest.fixture(scope="module")
def chain(own_home: Path, tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    work = tmp_path_factory.mktemp("chain")
    (work / "own.jinja").write_text(TEMPLATE)
    sft = make_spec(
        work,
        tiny_llama,
        model={"name_or_path": str(tiny_llama), "chat_template": str(work / "own.jinja")},
        method=LORA,
        training={"learning_rate": 1e-2, "max_steps": 20},
    )
    first = run_worker(sft, own_home / "runs" / "sft")
    assert first.ended.state == "finished", first.ended
    dpo = _dpo(work, tiny_llama, 10, model={"name_or_path": "run:sft"})
    second = run_worker(dpo, own_home / "runs" / "dpo")
    assert second.ended.state == "finished", second.ended
    return Chain(work, tiny_llama, first, second)


def logits_of(model: Any, folder: Path) -> torch.Tensor:
    """Return the logits of a question, tokenised as the tokenizer in ``folder`` does."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("What colour is the fig of bob?", return_tensors="pt").input_ids
    with torch.no_grad():
        logits: torch.Tensor = model.eval()(ids).logits
    return logits


def test_the_base_of_the_later_run_is_the_earlier_runs_model(chain: Chain) -> None:
    adapter = chain.sft.folder.path / "adapter"
    earlier = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(chain.tiny), str(adapter)
    )
    begun = chain.dpo.trainer.model.get_base_model()
    with chain.dpo.trainer.model.disable_adapter():
        reference = logits_of(begun, chain.tiny)
    assert torch.allclose(reference, logits_of(earlier, chain.tiny), atol=1e-4)
    bare = AutoModelForCausalLM.from_pretrained(chain.tiny)
    assert (reference - logits_of(bare, chain.tiny)).abs().max() > 0.1


def test_dpo_begins_at_its_reference_and_learns(chain: Chain) -> None:
    history = chain.dpo.history
    assert history.series("loss").y[0] == pytest.approx(0.6931, abs=1e-3)
    assert (history.evaluations["eval_rewards/margins"].last() or 0) > 0.5


def test_plain_peft_loads_the_later_adapter_by_itself(chain: Chain) -> None:
    adapter = chain.dpo.folder.path / "adapter"
    loaded = AutoPeftModelForCausalLM.from_pretrained(str(adapter))
    trained = logits_of(chain.dpo.trainer.model, chain.tiny)
    assert torch.allclose(logits_of(loaded, adapter), trained, atol=1e-5)
    base = json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert Path(base).is_dir()
    assert "its own" in AutoTokenizer.from_pretrained(adapter).chat_template


def test_what_it_was_made_of_is_written_down(chain: Chain) -> None:
    report = json.loads(chain.dpo.folder.report_file.read_text())
    sft, dpo = (one.folder.path / "adapter" for one in (chain.sft, chain.dpo))
    assert report["bases"] == [
        {"kind": "model", "name": str(chain.tiny)},
        {"kind": "adapter", "name": str(sft), "run": "sft"},
    ]
    assert bases_of("run:dpo") == [
        *report["bases"],
        {"kind": "adapter", "name": str(dpo), "run": "dpo"},
    ]


def test_the_merged_copy_is_private_and_made_once(chain: Chain, own_home: Path) -> None:
    (copy,) = (own_home / "models").iterdir()
    assert copy.stat().st_mode & 0o777 == 0o700
    before = (copy / "model.safetensors").stat().st_mtime_ns
    run = run_worker(chain.spec(method={"kind": "full"}), own_home / "runs" / "again")
    assert run.ended.state == "finished"
    assert not any("merges" in phase.text for phase in run.of(ev.Phase))
    assert [one.name for one in (own_home / "models").iterdir()] == [copy.name]
    assert (copy / "model.safetensors").stat().st_mtime_ns == before


def test_a_quantised_base_is_merged_first_and_quantised_then(chain: Chain, own_home: Path) -> None:
    run = run_worker(chain.spec(method={**LORA, "kind": "qlora"}), own_home / "runs" / "qlora")
    assert run.ended.state == "finished"
    # Quantised, it is nearer to the merged model than to the one that SFT began with.
    with run.trainer.model.disable_adapter():
        found = logits_of(run.trainer.model, chain.tiny).float()
    (copy,) = (own_home / "models").iterdir()
    merged = logits_of(AutoModelForCausalLM.from_pretrained(copy), chain.tiny)
    bare = logits_of(AutoModelForCausalLM.from_pretrained(chain.tiny), chain.tiny)
    assert (found - merged).abs().mean() < (found - bare).abs().mean() / 2


def test_facts_of_an_adapter_are_those_of_its_base(chain: Chain) -> None:
    adapter = str(chain.sft.folder.path / "adapter")
    for name in ("run:sft", str(chain.sft.folder.path), adapter):
        assert locate_model(name).weights_bytes == locate_model(str(chain.tiny)).weights_bytes
        assert model_facts(name).architecture() == model_facts(str(chain.tiny)).architecture()
        assert TokenRequest(name).folder() == Path(adapter)
    listed = {one.run: one.model for one in own_models() if one.origin == "run"}
    assert listed["sft"].adapter_of == str(chain.tiny)
    assert (listed["sft"].model_type, listed["sft"].chat_template) == ("llama", True)


def test_the_preflight_says_what_is_done_first(chain: Chain, tmp_path: Path) -> None:
    said = [one for one in preflight.check(chain.spec(), tmp_path) if "adapter" in one.text]
    assert [one.severity for one in said] == ["note"]
    assert "merged into" in said[0].text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"peft_type": "PROMPT_TUNING"}, "learned tokens before every row"),
        ({"base_model_name_or_path": None}, "does not say which model it belongs on"),
        ({"base_model_name_or_path": "/nowhere/at/all"}, "there is no folder /nowhere/at/all"),
        ({"init_lora_weights": "pissa"}, "count twice"),
        ({"task_type": "SEQ_CLS"}, "scores texts"),
    ],
)
def test_an_adapter_that_is_no_base_is_refused_with_the_reason(
    chain: Chain, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    folder = tmp_path / "changed"
    folder.mkdir()
    source = chain.sft.folder.path / "adapter"
    config = json.loads((source / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, **change}))
    (folder / "adapter_model.safetensors").write_bytes(
        (source / "adapter_model.safetensors").read_bytes()
    )
    findings = preflight.check(chain.spec(model={"name_or_path": str(folder)}), tmp_path)
    bad = [one for one in findings if one.severity == "bad"]
    assert said in bad[0].text


def test_a_run_without_output_is_refused(chain: Chain, own_home: Path, tmp_path: Path) -> None:
    (own_home / "runs" / "young").mkdir()
    (own_home / "runs" / "young" / "run.yaml").write_text("")
    for name, said in (("run:young", "has not finished"), ("run:none", "there is no run none")):
        findings = preflight.check(chain.spec(model={"name_or_path": name}), tmp_path)
        assert any(said in one.text for one in findings if one.severity == "bad")
