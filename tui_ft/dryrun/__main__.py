"""The process of a dry run: questions on stdin, one JSON object a line; answers on stdout.

    python -m tui_ft.dryrun [--gently] < questions.jsonl

Nothing is fetched and no GPU is touched. An answer that cannot be given has an `error` instead.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from typing import Final, TextIO

import msgspec

from tui_ft.memory.question import Answer, Question

_LOWEST_PRIORITY: Final = 19


def main() -> int:
    """Answer every question in turn."""
    if "--gently" in sys.argv[1:]:
        os.nice(_LOWEST_PRIORITY)
    answers = _own_stdout()
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", CUDA_VISIBLE_DEVICES="")
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    for line in sys.stdin.buffer:
        if line.strip():
            question = msgspec.json.decode(line, type=Question)
            answers.write(msgspec.json.encode(_answer(question)).decode() + "\n")
            answers.flush()
    return 0


def _own_stdout() -> TextIO:
    """Return stdout for answers alone; whatever a library prints goes to stderr."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def _answer(question: Question) -> Answer:
    from tui_ft.dryrun.replay import replay  # seconds of imports: only once there is a question

    try:
        found = replay(
            question.step,
            question.lengths,
            expandable_segments=question.expandable_segments,
            orders=question.orders,
            least=question.least,
            sharding=question.sharding,
        )
    except Exception as error:  # a model's own code may raise anything where it needs data
        first = next(iter(str(error).splitlines()), "")
        return Answer(error=f"{type(error).__name__}: {first}")
    return Answer(replayed=found)


if __name__ == "__main__":
    sys.exit(main())
