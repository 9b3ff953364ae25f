"""A Python function of the person's own as a reward, and all the ways in which it can break."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.train.rewards.asking import ask, make_reward
from tui_ft.spec import SpecError
from tui_ft.train.errors import RunFailure

CODE = '''
def by_trl(prompts, completions, completion_ids, level, reference, **kwargs):
    """As trl's documentation writes them."""
    contents = [completion[0]["content"] for completion in completions]
    asked = [prompt[-1]["content"] for prompt in prompts]
    return [float(len(c)) + (l == "hard") for c, a, l in zip(contents, asked, level)]

async def later(completions, **kwargs):
    return [0.25 for _ in completions]

def array(completions, **kwargs):
    import numpy
    return numpy.ones(len(completions), dtype=numpy.float32)

def empties(completions, **kwargs):
    return [1.0 for _ in range(len(completions)) if completions.pop()]

def breaks(completions, **kwargs):
    return [1 / 0 for _ in completions]

def short(completions, **kwargs):
    return [1.0]

def one(completions, **kwargs):
    return 1.0

def named(completions, **kwargs):
    return dict(enumerate(completions))

def leaves(completions, **kwargs):
    raise SystemExit(3)
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rewards.py"
    path.write_text(CODE)
    return path


def _reward(file: Path, function: str = "by_trl") -> dict[str, Any]:
    return {"kind": "python", "file": str(file), "function": function, "allow_code": True}


def test_it_is_called_as_trl_calls_reward_functions(file: Path) -> None:
    reward = make_reward(_reward(file))
    assert ask(reward, ["ab", "abc"], "r", level=["easy", "hard"]) == [2.0, 4.0]
    assert reward.__name__ == "python"
    assert ask(_reward(file, "later"), ["a", "b"]) == [0.25, 0.25]
    assert ask(_reward(file, "array"), ["a", "b"]) == [1.0, 1.0]
    assert ask(_reward(file, "empties"), ["a", "b"]) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("breaks", "rewards.py, line 19: ZeroDivisionError: division by zero"),
        ("short", "the reward python gave 1 values for 2 answers"),
        ("one", "rewards.py gave 1.0, which is no list"),
        ("named", "which is no list"),
        ("leaves", "rewards.py, line 31: SystemExit: 3"),
    ],
)
def test_where_it_broke_is_said(file: Path, function: str, reason: str) -> None:
    with pytest.raises(RunFailure) as caught:
        ask(_reward(file, function), ["a", "b"])
    assert reason in caught.value.reason


def test_one_that_does_not_take_what_is_handed_over_is_told_how(file: Path) -> None:
    file.write_text("def by_trl(prompts, completions): return [0.0]")
    with pytest.raises(RunFailure, match="unexpected keyword argument") as caught:
        ask(_reward(file), ["a"])
    assert "**kwargs" in caught.value.advice[0]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def other(): pass", "has no function by_trl"),
        ("def by_trl(:", "line 1: SyntaxError"),
        ("import no_such_module_anywhere", "line 1: ModuleNotFoundError"),
        (None, "there is no file"),
    ],
)
def test_a_file_that_cannot_be_used(file: Path, code: str | None, reason: str) -> None:
    file.unlink() if code is None else file.write_text(code)
    with pytest.raises(RunFailure, match=reason):
        make_reward(_reward(file))


def test_nothing_is_run_that_was_not_allowed(file: Path) -> None:
    marker = file.with_name("ran")
    file.write_text(f"open({str(marker)!r}, 'w').close()\ndef by_trl(**_): return []")
    with pytest.raises(SpecError, match="would be run as you"):
        make_reward({**_reward(file), "allow_code": False})
    assert not marker.exists()
    make_reward(_reward(file))
    assert marker.exists()
