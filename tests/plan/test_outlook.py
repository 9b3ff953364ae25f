from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.advise.given import Arithmetic
from tests.screens.conftest import FixedHardware
from tests.tiny_model import chat_rows, write_rows
from tests.train.running import make_spec, run_worker
from tui_ft.advise.estimator import Seconds
from tui_ft.memory.figure import Figure
from tui_ft.plan.estimator import ClosedForm
from tui_ft.plan.outlook import Outlook, RunFacts, facts_key, look_up, outlook
from tui_ft.screens.configure.outlook_text import outlook_lines
from tui_ft.spec import RunSpec, build_spec
from tui_ft.survey.tokens import TokenSummary

CONFIG = {
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "vocab_size": 128256,
    "tie_word_embeddings": True,
}
LENGTHS = {100: 900, 300: 100}
TOKENS = TokenSummary(
    "m", "done", rows=1_000, rows_total=1_000, lengths=LENGTHS, answers={50: 1_000}
)
FACTS = RunFacts(config=CONFIG, rows=1_000, tokens=TOKENS)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTUI_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def spec_of(**groups: Any) -> RunSpec:
    given = {"model": {"name_or_path": "m"}, "data": {"train": "d.jsonl", "eval_fraction": 0.1}}
    return build_spec({**given, **groups})


def of(spec: RunSpec, facts: RunFacts = FACTS) -> Outlook:
    return outlook(spec, facts, FixedHardware().latest(), Arithmetic())


def test_steps_and_tokens_are_counted_as_the_trainer_counts_them() -> None:
    training = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 4}
    found = of(spec_of(training={**training, "num_train_epochs": 2}))
    assert found.train_rows == 900
    assert found.steps == 2 * 29  # 113 passes, 28.25 steps an epoch
    assert found.tokens == 900 * 120 * 2
    cut = of(spec_of(training={**training, "num_train_epochs": 2, "max_length": 200}))
    assert cut.tokens == (900 * 100 + 100 * 200) * 9 // 10 * 2
    assert of(spec_of(training={**training, "max_steps": 10})).steps == 10


def test_packing_saves_steps() -> None:
    rows = {"per_device_train_batch_size": 1, "num_train_epochs": 1}
    padded, packed = (of(spec_of(training={**rows, "packing": yes})) for yes in (False, True))
    assert padded.steps == 900
    assert packed.steps is not None
    assert packed.steps < 900 / 7  # 1,024 tokens hold eight rows of 120


def test_memory_is_that_of_the_gpu_it_gets() -> None:
    free = of(spec_of())
    assert free.gpus == (1,)  # the one with most room
    assert free.fit == "fits"
    taken = of(spec_of(hardware={"gpus": [0]}, method={"kind": "full"}))
    assert taken.gpus == (0,)
    assert taken.free == pytest.approx(18.8 * 2**30)
    assert taken.fit == "no"
    cpu = of(spec_of(hardware={"gpus": "none"}))
    assert (cpu.gpus, cpu.free, cpu.fit) == ((), None, None)


def test_how_it_is_spread_and_offloaded_shows() -> None:
    full = {"kind": "full"}
    fsdp: dict[str, Any] = {"gpus": [0, 1], "distributed": {"kind": "fsdp"}}
    moved = {**fsdp, "distributed": {"kind": "fsdp", "cpu_offload": True}}
    kept, away = (
        outlook(
            spec_of(method=full, hardware=hardware),
            FACTS,
            FixedHardware().latest(),
            ClosedForm(),
        )
        for hardware in (fsdp, moved)
    )
    assert (kept.spread, away.spread) == ("FSDP2", "FSDP2 with offload")
    assert isinstance(kept.memory, Figure)
    assert isinstance(away.memory, Figure)
    assert away.memory.expected < kept.memory.expected - 8 * 1.2e9 / 2
    assert kept.host == 0
    assert away.host == pytest.approx(16 * 1.236e9, rel=0.01)
    assert away.host_free == FixedHardware().latest().host.memory_available_bytes
    assert away.host_is_short == (away.host > (away.host_free or 0))
    assert "pinned of" in outlook_lines(away, 78).plain
    assert "pinned" not in outlook_lines(kept, 78).plain
    zero = {"kind": "deepspeed", "zero_stage": 2, "offload_optimizer_device": "cpu"}
    other = outlook(
        spec_of(method=full, hardware={"gpus": [0, 1], "distributed": zero}),
        FACTS,
        FixedHardware().latest(),
        ClosedForm(),
    )
    assert other.spread == "DeepSpeed ZeRO-2 with offload"
    assert other.host == pytest.approx(16 * 1.236e9, rel=0.01)


def test_a_checkpoint_holds_weights_and_two_states_in_float32() -> None:
    found = of(spec_of(method={"kind": "lora", "r": 8}, training={"save_total_limit": 2}))
    assert isinstance(found.memory, Figure)
    adapter = found.memory.trainable_parameters * 4
    assert found.disk == adapter * 3 * 3 + adapter
    assert of(spec_of(training={"save_steps": None})).disk == pytest.approx(adapter * 2, rel=0.01)


def test_what_is_not_known_is_not_made_up() -> None:
    nothing = of(spec_of(), RunFacts(lacking=("there is no file d.jsonl",)))
    assert (nothing.steps, nothing.tokens, nothing.disk, nothing.train_rows) == (None,) * 4
    assert not isinstance(nothing.memory, Figure)
    assert not isinstance(nothing.time, Seconds)
    assert nothing.lacking == ("there is no file d.jsonl",)
    rows_alone = of(spec_of(), RunFacts(rows=1_000))
    assert rows_alone.steps is not None
    assert rows_alone.tokens is None


def test_facts_stay_while_neither_model_nor_data_change() -> None:
    key = facts_key(spec_of())
    assert key == facts_key(spec_of(training={"max_length": 64}, method={"kind": "full"}))
    assert key != facts_key(spec_of(data={"train": "other.jsonl"}))
    assert key != facts_key(spec_of(model={"name_or_path": "other"}))


def test_the_run_does_what_the_outlook_said(tmp_path: Path, tiny_llama: Path) -> None:
    data = write_rows(tmp_path / "some.jsonl", chat_rows(70))
    training = {"max_steps": None, "num_train_epochs": 2, "gradient_accumulation_steps": 3}
    spec = make_spec(tmp_path, tiny_llama, data={"train": str(data)}, training=training)
    facts = look_up(spec)
    assert facts is not None
    assert facts.lacking == ()
    said = outlook(spec, facts, None, Arithmetic())
    ran = run_worker(spec, tmp_path / "run")
    plan = ran.history.plan
    assert plan is not None
    assert (said.steps, said.train_rows) == (plan.total_steps, plan.train_rows)
    assert said.tokens == pytest.approx(2 * plan.train_tokens * plan.train_rows / 70, rel=0.01)


def test_missing_model_and_data_are_told(tmp_path: Path) -> None:
    spec = spec_of(
        model={"name_or_path": str(tmp_path)}, data={"train": str(tmp_path / "none.jsonl")}
    )
    facts = look_up(spec)
    assert facts is not None
    assert facts.rows is None
    assert any("none.jsonl" in words for words in facts.lacking)
