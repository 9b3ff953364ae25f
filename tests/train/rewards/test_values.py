"""What rewards give for answers, by value."""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import pytest
from transformers import AutoTokenizer

from tests.train.rewards.asking import ask, make_job, make_reward
from tui_ft.train.errors import RunFailure
from tui_ft.train.rewards import RewardFunction, reward_functions

SOLUTION = "6 times 7 is <<6*7=42>>42.\n#### 42"


@pytest.mark.parametrize(
    ("said", "options", "expected"),
    [
        ("#### 42", {}, 1.0),
        ("First 40 and 2.\n#### 42", {}, 1.0),
        ("#### 41\nno, I mean\n#### 42", {}, 1.0),  # the last word counts
        (r"so it is \boxed{42}", {}, 1.0),
        (r"\boxed{7} and then \boxed{42.0}", {}, 1.0),
        (r"\boxed{41} #### 42", {}, 1.0),  # hashes before boxes
        (r"\boxed{42", {}, 0.0),  # never closed, and the whole text is no 42
        ("42", {}, 1.0),
        ("It is 42", {}, 0.0),
        ("It is 42", {"extract": "last_number"}, 1.0),
        ("42, or is it 43?", {"extract": "last_number"}, 0.0),
        ("It is\n\n 42 \n\n", {"extract": "last_line"}, 1.0),
        ("42 is it", {"extract": "last_line"}, 0.0),
        ("no number", {"extract": "last_number"}, 0.0),
        ("#### $42.00", {}, 1.0),
        ("#### 42.00", {"numbers": False}, 0.0),
        ("#### -42", {}, 0.0),
        ("50-8 is 43-1, or 44-42", {"extract": "last_number"}, 1.0),  # no minus of the number's
        ("it is \N{MINUS SIGN}42", {"extract": "last_number"}, 0.0),
        ("", {}, 0.0),
    ],
)
def test_the_answer_of_gsm8k(said: str, options: dict[str, Any], expected: float) -> None:
    assert ask({"kind": "exact_match", **options}, [said], SOLUTION) == [expected]


@pytest.mark.parametrize(
    ("said", "reference", "options", "expected"),
    [
        ("1,234,567", "1234567", {}, 1.0),
        (r"\boxed{12{,}345}", "12345", {}, 1.0),
        (r"it is 12,\!345", "12345", {"extract": "last_number"}, 1.0),
        (r"it is $12\,345$.", "12345", {"extract": "last_number"}, 1.0),
        ("1,23", "123", {}, 0.0),  # no thousands
        ("1e3", "1000", {}, 1.0),
        (".5", "0.50", {}, 1.0),
        ("50%", "50", {}, 1.0),
        (r"\boxed{\frac{1}{2}}", r"\boxed{\frac{1}{2}}", {}, 1.0),
        (r"\boxed{\frac{1}{2}}", r"\boxed{\frac{1}{3}}", {}, 0.0),
        ("Paris", "paris", {}, 1.0),
        ("Paris", "paris", {"ignore_case": False}, 0.0),
        ("Paris.", "Paris", {}, 0.0),
        ("The  answer: Paris!", "the answer Paris", {"ignore_punctuation": True}, 1.0),
        ("B\n#### B", "whole #### B", {"extract_reference": "whole"}, 0.0),
        ("nan", "nan", {}, 1.0),  # a word like any other
        (r"\boxed{\dfrac12}", r"\frac{1}{2}", {}, 1.0),
        (r"\boxed{\frac{1}{2}}", "0.5", {}, 1.0),
        (r"\boxed{-\tfrac{3}{4}}", "-3/4", {}, 1.0),
        (r"\boxed{\frac{1}{0}}", "1", {}, 0.0),
        ("2/3", "0.67", {}, 0.0),
        ("1e999999999", "1/2", {}, 0.0),  # not written out
        (r"\boxed{\left(3, \frac{\pi}{2}\right)}", r"(3,\dfrac{\pi}{2})", {}, 1.0),
        (r"\boxed{90^\circ}", "90", {}, 1.0),
        (r"$x^2 + 1$", "x^2+1", {}, 1.0),
        (r"\boxed{\text{north east}}", "north east", {}, 1.0),
        ("[1,2]", "[1, 2]", {}, 1.0),
        (r"\boxed{x^2+1}", "x^2-1", {}, 0.0),
        ("no where", "nowhere", {}, 0.0),  # words are no formula
        ("true", "True", {}, 1.0),
        ("Paris", '["Paris", "Paris, France"]', {"any_of": True}, 1.0),
        ("Lyon", '["Paris", "Paris, France"]', {"any_of": True}, 0.0),
        ("Paris", '["Paris", "Paris, France"]', {}, 0.0),
        ("42", "42", {"any_of": True}, 1.0),  # no list: the one that is right
        ("None", "[null, true]", {"any_of": True}, 0.0),
        ("TRUE", "[null, true]", {"any_of": True}, 1.0),
        ("3/2", "1 1/2", {}, 1.0),
        ("11/2", "1 1/2", {}, 0.0),
        (r"-1\frac12", "-1.5", {}, 1.0),
        ("\N{MINUS SIGN}3/4", "-0.75", {}, 1.0),
        ("1213", "12 13", {}, 0.0),
        ("12  13", "12 13", {}, 1.0),
        ("1 000", "1000", {}, 1.0),
        ("15 million", "1.5 million", {"ignore_punctuation": True}, 0.0),
        ("1,500 km.", "1500 km", {"ignore_punctuation": True}, 1.0),
        ("5 degrees", "-5 degrees", {"ignore_punctuation": True}, 0.0),
    ],
)
def test_other_answers(said: str, reference: str, options: dict[str, Any], expected: float) -> None:
    assert ask({"kind": "exact_match", **options}, [said], reference) == [expected]


def test_spaces_without_end_take_no_time() -> None:
    endless = "^" + " " * 200_000 + "x"  # minutes, when each space was begun with anew
    assert ask({"kind": "exact_match"}, [endless], "x^2") == [0.0]


def test_without_an_answer_of_the_data_there_is_no_opinion() -> None:
    assert ask({"kind": "exact_match"}, ["42", "43"], None) == [None, None]


@pytest.mark.parametrize(
    ("options", "said", "expected"),
    [
        ({"pattern": "b+"}, "abbc", 1.0),
        ({"pattern": "b+", "match": "full"}, "abbc", 0.0),
        ({"pattern": "b+", "match": "full"}, "\n bb ", 1.0),
        ({"pattern": "B"}, "abc", 0.0),
        ({"pattern": "B", "ignore_case": True}, "abc", 1.0),
        ({"pattern": "<t>.*</t>"}, "<t>a\nb</t>", 1.0),
        ({"pattern": "<t>.*</t>", "dot_all": False}, "<t>a\nb</t>", 0.0),
        ({"pattern": r"^\d+$"}, "12\n34", 0.0),
        ({"pattern": r"(?m)^\d+$"}, "12\n34", 1.0),
    ],
)
def test_an_expression(options: dict[str, Any], said: str, expected: float) -> None:
    assert ask({"kind": "regex", **options}, [said]) == [expected]


def test_an_expression_that_never_comes_to_an_end_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tui_ft.train.rewards.pattern._SECONDS", 0.05)
    with pytest.raises(RunFailure, match=r"takes more than 0.05 s on an answer of 41 characters"):
        ask({"kind": "regex", "pattern": "(a|aa)+$"}, ["a" * 40 + "b"])


@pytest.mark.parametrize(
    ("options", "length", "expected"),
    [
        ({"target": 10}, 10, 1.0),
        ({"target": 10}, 15, 0.5),
        ({"target": 10}, 5, 0.5),
        ({"target": 10}, 25, 0.0),
        ({"target": 10, "margin": 4}, 11, 0.75),
        ({"most": 10}, 10, 1.0),
        ({"most": 10}, 11, 0.0),
        ({"most": 10, "margin": 5}, 12, 0.6),
        ({"most": 10, "margin": 5}, 15, 0.0),
        ({"least": 3}, 2, 0.0),
        ({"least": 4, "most": 6, "margin": 4}, 3, 0.75),
        ({"least": 4, "most": 6}, 5, 1.0),
    ],
)
def test_a_length(options: dict[str, Any], length: int, expected: float) -> None:
    reward = {"kind": "length", "unit": "characters", **options}
    assert ask(reward, ["x" * length]) == [pytest.approx(expected)]


def test_lengths_in_tokens_are_those_generated_and_in_words_those_written(tiny_llama: Any) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    said = "What colour is the fig?"
    count = len(tokenizer.encode(said, add_special_tokens=False))
    by_tokens = make_reward({"kind": "length", "target": count, "margin": 1}, tokenizer=tokenizer)
    assert by_tokens([said], [said], None) == [1.0]
    assert by_tokens([said], [said], [[1] * (count + 1)]) == [0.0]  # with the one that ends it
    assert ask({"kind": "length", "unit": "words", "target": 5, "margin": 1}, [said]) == [1.0]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('{"a": 1}', 1.0),
        (" [1, 2] ", 1.0),
        ('"text"', 1.0),
        ('Here it is:\n```json\n{"a": 1}\n```\nDone.', 1.0),
        ("```\n[1]\n```", 1.0),
        ("```json\n{'a': 1}\n```", 0.0),
        ('{"a": 1} and more', 0.0),
        ('{"a": NaN}', 0.0),
        ("", 0.0),
        ("[" * 100_000, 0.0),
    ],
    ids=lambda value: str(value)[:20],
)
def test_json(said: str, expected: float) -> None:
    assert ask({"kind": "json"}, [said]) == [expected]
    if "```" in said:
        assert ask({"kind": "json", "fenced": False}, [said]) == [0.0]


SCHEMA = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "age": {"$ref": "#/$defs/age"}},
    "$defs": {"age": {"type": "integer", "minimum": 0}},
}
has_jsonschema = pytest.mark.skipif(
    importlib.util.find_spec("jsonschema") is None, reason="needs jsonschema"
)


@has_jsonschema
def test_json_that_fits_a_schema() -> None:
    said = ['{"name": "a", "age": 3}', '{"name": "a", "age": -3}', '{"age": 3}', "no"]
    reward = {"kind": "json", "json_schema": SCHEMA, "valid_only": 0.25}
    assert ask(reward, said) == [1.0, 0.25, 0.25, 0.0]


@has_jsonschema
@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "objekt"}, "the JSON schema is wrong at /type: 'objekt'"),
        ({"$ref": "https://example.com/s.json"}, "refers to https://example.com/s.json"),
        ("/no/such/schema.json", "cannot be read: No such file"),
    ],
)
def test_a_schema_that_is_none(schema: Any, reason: str) -> None:
    with pytest.raises(RunFailure, match=reason):
        make_reward({"kind": "json", "json_schema": schema})


def test_without_the_library_a_schema_is_refused_and_not_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jsonschema", None)
    with pytest.raises(RunFailure, match="which is not installed") as caught:
        make_reward({"kind": "json", "json_schema": SCHEMA})
    assert "pip install jsonschema" in caught.value.advice[0]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([1.0], "gave 1 values for 2 answers"),
        ([1.0, math.nan], "gave nan for answer 2 of the batch, which is no number"),
        ([math.inf, 1.0], "gave inf for answer 1 of the batch"),
        (["good", 1.0], "gave 'good' for answer 1"),
        ([1.0, {}], "gave {} for answer 2"),
    ],
)
def test_what_is_no_reward_is_named(given: list[Any], reason: str) -> None:
    with pytest.raises(RunFailure) as caught:
        RewardFunction("judge", lambda _: given)(["p", "p"], ["a", "b"])
    assert caught.value.reason.startswith("the reward judge")
    assert reason in caught.value.reason


def test_a_reward_that_breaks_says_which_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_: Any) -> list[float]:
        raise KeyError("colour")

    with pytest.raises(RunFailure, match="the reward judge broke: KeyError: 'colour'"):
        RewardFunction("judge", broken)(["p"], ["a"])
    assert "Traceback" in capsys.readouterr().err


def test_rewards_have_names_of_their_own_and_weights() -> None:
    regex = {"kind": "regex", "pattern": "a"}
    job = make_job(regex, {**regex, "weight": -0.5}, {**regex, "name": "form"}, regex)
    functions, weights = reward_functions(job)
    assert [one.__name__ for one in functions] == ["regex", "regex_2", "form", "regex_3"]
    assert weights == [1.0, -0.5, 1.0, 1.0]
