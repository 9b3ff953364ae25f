"""Let the model answer held-out rows, and grade the answers. Greedy, so that it is repeatable."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Literal

import torch
from torch.distributed.fsdp import FSDPModule

from tui_ft.runs import events as ev
from tui_ft.spec.run_spec import GenerationScore, ScoreMetric
from tui_ft.train.answering import say_on
from tui_ft.train.rows.dataset import Question

_EXAMPLES: Final = 8


def answer(
    model: Any,  # noqa: ANN401 - transformers is untyped here
    tokenizer: Any,  # noqa: ANN401
    questions: Sequence[Question],
    *,
    max_new_tokens: int,
    batch_size: int,
    progress: Callable[[int], None] = lambda _: None,
) -> list[str]:
    """Return the model's greedy answer to each question, special tokens left out.

    Args:
        model: in whatever mode; it is returned in the same one.
        tokenizer: its tokenizer.
        questions: whose `prompt` texts are given as they stand.
        max_new_tokens: an answer is cut here.
        batch_size: questions answered at once.
        progress: called with the number of answers so far; may raise to break off.
    """
    answers: list[str] = []
    with _inference(model):
        for start in range(0, len(questions), batch_size):
            prompts = [q.prompt for q in questions[start : start + batch_size]]
            new = say_on(
                model,
                tokenizer(prompts, add_special_tokens=False)["input_ids"],
                tokenizer.pad_token_id,
                model.device,
                max_new_tokens=max_new_tokens,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                use_cache=True,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=ends_of(model, tokenizer),
            )
            answers += tokenizer.batch_decode(new, skip_special_tokens=True)
            progress(len(answers))
    return answers


def ends_of(model: Any, tokenizer: Any) -> list[int]:  # noqa: ANN401
    """Return the tokens that end an answer: the model's own and the tokenizer's.

    The trainer brings the two together, but only when training begins: answers from before would
    run on, and count as wrong, where the model's configuration does not name its end of turn.
    """
    named = model.generation_config.eos_token_id
    ids = named if isinstance(named, list) else [named]
    return sorted({token for token in (*ids, tokenizer.eos_token_id) if token is not None})


def grade(
    when: Literal["before", "after"],
    questions: Sequence[Question],
    answers: Sequence[str],
    metrics: Sequence[ScoreMetric],
) -> ev.Score:
    """Return the share of answers that pass each metric, and the first few as examples."""
    passed = {
        metric: [_GRADERS[metric](a, q.reference) for q, a in zip(questions, answers, strict=True)]
        for metric in metrics
    }
    count = max(1, len(questions))
    first = next(iter(passed.values()), [])
    examples = tuple(
        ev.Example(question.shown_prompt, given, question.reference, correct)
        for question, given, correct in list(zip(questions, answers, first, strict=True))[
            :_EXAMPLES
        ]
    )
    values: dict[str, float] = {str(name): sum(marks) / count for name, marks in passed.items()}
    return ev.Score(when=when, rows=len(questions), values=values, examples=examples)


def score(
    when: Literal["before", "after"],
    model: Any,  # noqa: ANN401
    tokenizer: Any,  # noqa: ANN401
    questions: Sequence[Question],
    wanted: GenerationScore,
    progress: Callable[[int], None],
) -> ev.Score:
    """Return the grades of the model's answers to the first `wanted.rows` questions."""
    chosen = questions[: wanted.rows]
    answers = answer(
        model,
        tokenizer,
        chosen,
        max_new_tokens=wanted.max_new_tokens,
        batch_size=wanted.batch_size,
        progress=progress,
    )
    return grade(when, chosen, answers, wanted.metrics)


def is_exact_match(given: str, reference: str) -> bool:
    """Tell whether an answer equals the reference but for outer space."""
    return given.strip() == reference.strip()


def is_valid_json(given: str, _reference: str = "") -> bool:
    """Tell whether an answer, outer space aside, is one JSON value and nothing else."""
    try:
        json.loads(given)
    except (ValueError, RecursionError):
        return False
    return True


_GRADERS: Final[dict[ScoreMetric, Callable[[str, str], bool]]] = {
    "exact_match": is_exact_match,
    "valid_json": is_valid_json,
}


@contextlib.contextmanager
def _inference(model: Any) -> Iterator[None]:  # noqa: ANN401
    """Put the model into inference, and back into what it was in.

    The arithmetic stays that of the model: adapters in float32 on a 16-bit base cast by themselves.
    """
    was_training = model.training
    model.eval()
    try:
        # What FSDP gathers in inference mode cannot be trained on afterwards.
        shared = isinstance(model, FSDPModule)
        with torch.no_grad() if shared else torch.inference_mode():
            yield
    finally:
        model.train(was_training)
