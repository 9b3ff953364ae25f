"""Answers a person gives, what the advice says of them, and what files say of models."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.advise.given import CONFIGS, Arithmetic, situation_of
from tests.data.chats import assistant, chat, learned_text, masked, user
from tests.data.small_tokenizer import Family, load_family
from tui_ft.advise import facts
from tui_ft.advise.advice import Advice
from tui_ft.advise.estimator import Seconds, Work
from tui_ft.advise.node import AnswerError
from tui_ft.advise.situation import Known
from tui_ft.advise.timing import seconds_of
from tui_ft.advise.tree import advise
from tui_ft.advise.writing.explained_yaml import explained_yaml
from tui_ft.memory.allocator import GIB
from tui_ft.memory.asked_cards import GpuError
from tui_ft.memory.estimating import Unknown
from tui_ft.memory.figure import Figure
from tui_ft.memory.from_spec import step_of
from tui_ft.memory.sharding import Sharding
from tui_ft.memory.step import Step
from tui_ft.models import architecture_of
from tui_ft.models.catalogue import catalogue, catalogue_entry
from tui_ft.spec import build_spec, load_spec
from tui_ft.spec.chat_templates import template_file
from tui_ft.survey.summary import Layout, Summary
from tui_ft.survey.tokens import TokenSummary
from tui_ft.survey.verdict import verdict_of

PLAIN = {"goal": "instruction", "model": "llama-8b", "gpus": 24, "data": "answers-5k"}


def _advise(answers: dict[str, str] | None = None, **given: object) -> Advice:
    return advise(situation_of({**PLAIN, **given}), answers, estimator=Arithmetic())


def test_a_person_sets_numbers_that_no_branch_names() -> None:
    advice = _advise({"rank": "24", "max_length": "768", "learning_rate": "0.00015", "epochs": "4"})
    assert advice.run is not None
    dumped = advice.run.model_dump()
    assert (dumped["method"]["r"], dumped["method"]["lora_alpha"]) == (24, 48)
    training = advice.run.training
    assert (training.max_length, training.learning_rate, training.num_train_epochs) == (
        *(768, 0.00015),
        4.0,
    )


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"rnak": "8"}, "there is no question `rnak`; did you mean `rank`?"),
        ({"nothing-like-it": "8"}, "there are goal, "),
        ({"rank": "0"}, "rank: there is no answer `0`; it has 4, 8, 16"),
        ({"rank": "8.5"}, "or a number from 1 to 1024"),
        ({"rank": "nan"}, "there is no answer `nan`"),
        ({"method": "magic"}, "method: there is no answer `magic`; it has full, full_bf16, lora"),
    ],
)
def test_answers_that_no_node_has_are_refused(answers: dict[str, str], said: str) -> None:
    with pytest.raises(AnswerError) as caught:
        _advise(answers)
    assert said in str(caught.value)


def test_what_the_tree_would_have_chosen_stays_in_sight() -> None:
    taken = _advise({"method": "qlora"}).taken("method")
    assert taken is not None
    assert (taken.choice, taken.own, taken.how) == ("qlora", "lora", "asked")
    assert taken.reason.startswith("you chose so; else lora: LoRA fits")


def test_answers_beside_the_path_are_named() -> None:
    assert _advise({"method": "full", "rank": "64"}).unused == ("rank",)


def test_batch_and_checkpointing_follow_a_person() -> None:
    advice = _advise({"batch": "2", "checkpointing": "yes"})
    chosen = advice.candidate
    assert chosen is not None
    assert (chosen.batch, chosen.accumulation, chosen.checkpointing) == (2, 8, True)
    assert chosen.high is not None
    more = _advise({"batch": "4", "checkpointing": "yes"}).candidate
    assert more is not None
    assert (more.high or 0) > chosen.high


def test_prompt_tuning_is_there_for_who_wants_it() -> None:
    advice = _advise({"method": "prompt_tuning"})
    assert advice.run is not None
    assert advice.run.method.kind == "prompt_tuning"
    assert advice.run.training.learning_rate == 0.03
    chosen = advice.candidate
    assert chosen is not None
    assert (chosen.way, chosen.fit) == ("prompt_tuning", "fits")


def test_what_cannot_go_together_is_no_run() -> None:
    advice = _advise({"method": "prompt_tuning", "objective": "orpo"}, data="pairs-5k")
    assert advice.run is None
    assert "set method.kind to lora" in advice.no_run


def test_packed_sequences_hold_the_rows_of_a_step() -> None:
    """60 tokens a row, 512 a sequence: 16 rows are two sequences."""
    advice = _advise(data="short-20k", flash=True)
    assert advice.run is not None
    training = advice.run.training
    assert training.packing
    assert training.per_device_train_batch_size * training.gradient_accumulation_steps == 2


def test_who_holds_the_memory_is_said() -> None:
    taken = _advise(gpus=80, free=11).taken("gpus")
    assert taken is not None
    held = "GPU 0 80 GB: 11.0 GiB free of 79.1 GiB, the rest held by anna (pid 12)"
    assert (taken.reason, taken.how) == (held, "measured")


def test_a_thin_margin_is_said() -> None:
    needed = _advise({"batch": "1", "checkpointing": "yes"}).candidate
    assert needed is not None
    assert needed.high is not None
    barely = (needed.high + 100 * 2**20) / GIB
    thin = _advise({"batch": "1", "checkpointing": "yes"}, free=barely)
    (said,) = (one.text for one in thin.cautions if one.id == "thin-margin")
    assert said.startswith("only 100 MiB are left")
    assert "thin-margin" not in {one.id for one in _advise({"batch": "1"}).cautions}


def test_a_prompt_that_nobody_tried_is_said() -> None:
    assert "prompt-untried" in {one.id for one in _advise(model="llama-8b-chat").cautions}
    tried = _advise(model="llama-8b-chat", prompt="partly")
    assert "prompt-untried" not in {one.id for one in tried.cautions}


def test_rows_are_cut_only_where_nothing_else_fits() -> None:
    cut = _advise(gpus=12, free=9, data="long-5k")
    chosen = cut.candidate
    assert chosen is not None
    assert (chosen.way, chosen.max_length, chosen.fit) == ("qlora_shorter", 4000, "fits")
    assert "rows-cut" in {caution.id for caution in cut.cautions}
    whole = _advise(gpus=12, free=11, data="long-5k").candidate
    assert whole is not None
    assert (whole.way, whole.max_length) == ("qlora", 8000)


def test_the_second_stage_is_said_and_the_first_is_the_run() -> None:
    advice = _advise(goal="preference", data="pairs-5k")
    assert [(phase.objective, phase.startable) for phase in advice.phases] == [
        ("sft", True),
        ("dpo", True),
    ]
    assert advice.run is not None
    assert advice.run.data.columns == {"prompt": "prompt", "completion": "chosen"}
    rates = [one.value for one in advice.phases[1].choices if one.key == "training.learning_rate"]
    assert rates == [5e-6]


def test_the_estimator_is_asked_sparingly() -> None:
    """At a millisecond for each question, the advice is there before a key is let go."""
    estimator = Arithmetic()
    advise(situation_of({**PLAIN, "gpus": "8x80", "model": "llama-70b-chat"}), estimator=estimator)
    assert estimator.asked <= 64


def test_the_yaml_says_why_beside_what(tmp_path: Path) -> None:
    advice = _advise()
    text = explained_yaml(advice)
    above = text[: text.index("  learning_rate: ")].partition("training:\n")[2].splitlines()
    assert above[0].startswith("  # adapters: 1e-4 to 2e-4; 2e-4 in the recipes of all five")
    assert above[1] == "  # asked]"
    assert max(len(line) for line in text.splitlines()) <= 100
    with pytest.raises(ValueError, match="no run to write: retrieval"):
        explained_yaml(_advise(goal="knowledge"))


def test_a_name_cannot_break_out_of_the_comments(tmp_path: Path) -> None:
    evil = "x\n# y: \x1b[2J\nname: evil"
    situation = situation_of(PLAIN)
    assert situation.gpus is not None
    gpu = msgspec.structs.replace(situation.gpus.value[0], name=evil)
    told = msgspec.structs.replace(situation, gpus=Known((gpu,), "measured"))
    advice = advise(told, estimator=Arithmetic())
    file = tmp_path / "run.yaml"
    file.write_text(explained_yaml(advice))
    assert "\x1b" not in file.read_text()
    assert load_spec(file) == advice.run


@pytest.mark.parametrize(
    ("said", "count", "gib"),
    [("24", 1, 23.5), ("80GB", 1, 79.1), ("8x80", 8, 79.1), ("2 x 20 gb", 2, 20.0)],
)
def test_gpus_as_people_say_them(said: str, count: int, gib: float) -> None:
    found = facts.asked_gpus(said)
    assert [gpu.free for gpu in found] == [int(gib * GIB)] * count


@pytest.mark.parametrize("said", ["big", "0x80", "-1", "", "8x", "x80"])
def test_gpus_that_are_none(said: str) -> None:
    with pytest.raises(GpuError, match="write the memory"):
        facts.asked_gpus(said)


@pytest.mark.parametrize(
    ("name", "template", "kind", "how"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", True, "chat", "assumed"),
        ("meta-llama/Llama-3.1-8B", False, "base", "measured"),
        ("meta-llama/Llama-3.1-8B", None, "base", "assumed"),
        ("google/gemma-2-2b-it", True, "chat", "assumed"),
        ("Qwen/Qwen2.5-14B", True, "base", "assumed"),
        ("Qwen/Qwen3-8B-Base", True, "base", "assumed"),
        ("Qwen/Qwen3-8B", True, "chat", "assumed"),
        ("/models/mine", True, "chat", "assumed"),
        ("/models/mine", None, None, None),
    ],
)
def test_base_or_chat(name: str, template: bool | None, kind: str | None, how: str | None) -> None:
    found = facts.model_facts(name, CONFIGS["llama-1b"], has_template=template).kind
    assert (found and found.value, found and found.how) == (kind, how)


def test_an_encoder_is_known_by_its_configuration() -> None:
    found = facts.model_facts("google/bert", CONFIGS["bert"])
    assert found.kind is not None
    assert found.kind.value == "encoder"
    assert found.targets is not None
    assert found.targets.value == ("query", "value")


def test_a_configuration_that_says_nothing_leaves_the_rest_unknown() -> None:
    found = facts.model_facts("org/odd", {"model_type": "odd"})
    assert (found.parameters, found.context, found.targets) == (None, None, None)
    assert facts.model_facts("org/none", None).config is None


def test_a_survey_becomes_facts() -> None:
    summary = Summary(
        "rows.jsonl",
        "done",
        rows=100,
        usable=98,
        layout=Layout("alpaca", "Alpaca", "", {}, 1.0, objectives=("sft",)),
    )
    tokens = TokenSummary(
        "m", "done", rows=98, rows_total=98, lengths={100: 90, 500: 8}, answers={50: 98}
    )
    found = facts.data_facts("rows.jsonl", verdict_of(summary, tokens), tokens)
    assert found.rows == Known(98, "measured")
    assert found.tokens == Known(13_000, "measured")
    assert found.longest == Known(500, "measured")
    assert found.supervised_share == Known(4900 / 13_000, "measured")
    assert [option.max_length for option in found.lengths] == [64, 128, 256, 512]
    shares = [round(option.rows_cut, 3) for option in found.lengths]
    assert shares == [1.0, 0.082, 0.082, 0.0]
    assert found.lengths[-1].sequences == 26  # 90 rows go by fives into 18, 8 have one each
    assert found.objectives is not None
    assert found.objectives.value[0] == "sft"


def test_the_plain_template_learns_every_answer_and_its_end(tmp_path: Path) -> None:
    template = template_file("plain").read_text()
    special = ("<s>", "</s>")
    tokenizer = load_family(tmp_path, Family(template, special, eos="</s>", bos="<s>"))
    talk = chat(user("Hi"), assistant("Hello there"), user("More"), assistant("Sure"))
    row = masked(talk, tokenizer)
    assert row.text == (
        "<s>### Instruction:\nHi\n\n### Response:\nHello there</s>\n\n"
        "### Instruction:\nMore\n\n### Response:\nSure</s>\n\n"
    )
    assert learned_text(row, tokenizer) == "Hello there</s>Sure</s>"
    assert (len(row.turns), row.unended) == (2, 0)
    asked = tokenizer.render([user("Hi")], add_generation_prompt=True)
    assert row.text.startswith(asked)


@pytest.mark.parametrize(
    ("name", "smaller"),
    [
        (
            "meta-llama/Llama-3.3-70B-Instruct",
            ["Llama-3.1-8B-Instruct", "Llama-3.2-3B-Instruct", "Llama-3.2-1B-Instruct"],
        ),
        (
            "Qwen/Qwen2.5-14B-Instruct",
            [f"Qwen2.5-{size}-Instruct" for size in ("7B", "3B", "1.5B", "0.5B")],
        ),
        ("Qwen/Qwen2.5-7B", ["Qwen2.5-3B", "Qwen2.5-1.5B", "Qwen2.5-0.5B"]),
        ("HuggingFaceTB/SmolLM2-135M", []),
    ],
)
def test_smaller_models_are_of_the_same_family_and_kind(name: str, smaller: list[str]) -> None:
    entry = catalogue_entry(name)
    assert entry is not None
    found = facts.smaller_models(entry, catalogue())
    assert [one.name.partition("/")[2] for one in found] == smaller


def test_the_catalogue_says_what_a_model_is() -> None:
    entry = catalogue_entry("Qwen/Qwen2.5-14B")
    kind = facts.model_facts("Qwen/Qwen2.5-14B", None, has_template=True, entry=entry).kind
    assert kind == Known("base", "measured", "a base model by ftui's catalogue")


def _work(**changes: object) -> Work:
    step = step_of(
        build_spec({"model": {"name_or_path": "m"}, "data": {"train": "d"}}), CONFIGS["llama-8b"]
    )
    step = msgspec.structs.replace(step, batch=4, length=512, checkpointing=False)
    (gpu,) = facts.asked_gpus("80")
    work = Work(step=step, passes=1000, mean_length=256, gpu=gpu)
    return msgspec.structs.replace(work, **changes)


def test_time_is_operations_over_what_is_reached_of_the_peak() -> None:
    """4 N a token with a frozen base: 4 x 8.0e9 x 4 x 256 x 1000 at 30 % of an H100's 989e12."""
    model = architecture_of(CONFIGS["llama-8b"])
    found = seconds_of(_work(), model, trained=0)
    assert isinstance(found, Seconds)
    roughly = 4 * 7.5e9 * 4 * 256 * 1000 / (0.3 * 989e12)
    assert found.expected == pytest.approx(roughly, rel=0.05)
    assert found.low < found.expected < found.high
    twice = seconds_of(_work(passes=2000), model, trained=0)
    assert isinstance(twice, Seconds)
    assert twice.expected == pytest.approx(2 * found.expected)


def test_times_that_nobody_knows_are_said() -> None:
    model = architecture_of(CONFIGS["llama-8b"])
    for changes, said in (
        ({"gpu": None}, "on a CPU is not known"),
        ({"gpu": facts.asked_gpus("8")[0]}, "the peak of 8 GB card is not known"),
    ):
        found = seconds_of(_work(**changes), model, trained=0)
        assert isinstance(found, Unknown)
        assert said in found.reason


class _Rough(Arithmetic):
    """Says roughly what is not so."""

    def rough(self, step: Step, spread: Sharding | None) -> Figure | Unknown:
        found = self.memory(step, spread)
        if isinstance(found, Unknown):
            return found
        return msgspec.structs.replace(found, expected=found.expected + 1, high=found.high + 2)


@pytest.mark.parametrize("gpus", [24, 80, "4x24"])
def test_what_may_fit_is_shown_by_the_careful_figure(gpus: object) -> None:
    situation = situation_of({**PLAIN, "gpus": gpus})
    shown = advise(situation, estimator=_Rough()).candidates
    careful = advise(situation, estimator=Arithmetic()).candidates
    assert [one.fit for one in shown] == [one.fit for one in careful]
    fitting = [one for one in shown if one.fit == "fits" and one.way != "smaller"]
    assert fitting
    assert fitting == [one for one in careful if one.fit == "fits" and one.way != "smaller"]


def test_the_rows_that_are_there_are_counted_where_they_are_the_reason() -> None:
    advice = advise(situation_of(PLAIN), estimator=Arithmetic())
    held_out = next(one for one in advice.choices if one.key == "data.eval_fraction")
    assert "of 5,000 rows a tenth" in held_out.reason
