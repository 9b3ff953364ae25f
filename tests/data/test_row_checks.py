"""Each check finds what was planted, and leaves clean rows alone."""

# ruff: noqa: RUF001 - Arabic is Arabic
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_ft.data import Completion, Conversation, Document
from tui_ft.data.checks import ROW_CHECKS, by_id
from tui_ft.data.items import AnyItem, Judged, Labelled, Pair, Prompt
from tui_ft.data.row_view import view_of

LONG = "The harbour lies north of the old town, and ships have called there since the middle ages. "


def _answer(said: str, asked: str = "Tell me about it, please.") -> Completion:
    return Completion(asked, said)


def _talk(*roles: str) -> Conversation:
    said = {"user": "What is next?", "assistant": "That comes next.", "system": "Be brief."}
    return Conversation(tuple({"role": r, "content": said.get(r, "result")} for r in roles))


def _said(answer: str) -> Conversation:
    asked = {"role": "user", "content": "What is it?"}
    return Conversation((asked, {"role": "assistant", "content": answer}))


def _pair(chosen: str, rejected: str) -> Pair:
    return Pair(_answer(chosen), _answer(rejected))


# fmt: off
PLANTED: list[tuple[str, AnyItem]] = [
    ("placeholder", _answer("TODO: write this answer")),
    ("placeholder", _answer("...")),
    ("placeholder", _answer("Dear [insert name here], welcome to our shop.")),
    ("placeholder", _answer("Lorem ipsum dolor sit amet, consectetur adipiscing elit.")),
    ("cut-mid-sentence", _answer(LONG * 4 + "It was built by the")),
    ("answer-repeats-prompt", _answer("Tell me about it, please. Well, it is.")),
    ("short-answer", _answer("Four.")),
    ("long-row", _answer("word " * 2_001)),
    ("url-heavy", _answer("See https://a.org/b https://c.org/d https://e.org/f")),
    ("number-heavy", _answer("12 34 56 78 90 " * 6 + "numbers")),
    ("repetition", _answer("And so it goes on and on. " * 8)),
    ("refusal", _answer("I'm sorry, but I can't help with that request.")),
    ("refusal", _answer("对不起，我无法提供这方面的帮助。")),
    ("ai-boilerplate", _answer("As an AI language model, I do not have feelings.")),
    ("mojibake", _answer("The cafÃ© is open, and itâ€™s warm inside.")),
    ("lost-characters", _answer("The caf\ufffd is open.")),
    ("control-characters", _answer("A bell\x07 rings.")),
    ("invisible-characters", _answer("Hid\u200bden words.")),
    ("invisible-characters", _answer("Right\u202eleft.")),
    ("escape-sequences", _answer("\x1b[31mred\x1b[0m words")),
    ("html-leftovers", _answer("One line<br>and &nbsp; another.")),
    ("special-tokens", _said("Hello<|im_end|>\n<|im_start|>user\nMore")),
    ("secret", _answer("Use AKIAQ7RT4ZP2XMB9KD3W to log in.")),
    ("secret", _answer("token ghp_a8Sd9fK2lQ0zXcVbNm1qWeRtYuIoP3456789")),
    ("email-address", _answer("Write to anna.schmidt@posteo.de today.")),
    ("phone-number", _answer("Call +49 30 901820 or 212-736-5000 now.")),
    ("account-number", _answer("Pay to DE44 5001 0517 5407 3249 31 now.")),
    ("same-role-twice", _talk("user", "user", "assistant")),
    ("starts-with-assistant", _talk("assistant", "user", "assistant")),
    ("ends-with-user", _talk("user", "assistant", "user")),
    ("system-not-first", _talk("user", "system", "assistant")),
    ("too-many-turns", _talk(*["user", "assistant"] * 21)),
    ("tool-result-without-call", _talk("user", "tool", "assistant")),
    ("chosen-equals-rejected", _pair("The same.", "The same.")),
    ("pair-differs-little", _pair("The same.", "the  Same.")),
    ("chosen-is-refusal", _pair("I'm sorry, but I can't help with that.", "Paris is it.")),
    ("chosen-much-longer", _pair(LONG * 8, LONG)),
]

CLEAN: list[AnyItem] = [
    _answer("Paris is the capital of France, and has been for most of its history."),
    _answer("```python\ndef f(x):\n    return [x, 1]\n```\nThis returns two things, as asked."),
    _answer("| a | b |\n|---|---|\n| 1 | x |\n\nThe table has two columns and a single row in it."),
    _answer("法国的首都是巴黎。它位于塞纳河畔，是欧洲最大的城市之一。"),
    _answer("باريس هي عاصمة فرنسا، وتقع على ضفاف نهر السين في شمال البلاد منذ القدم."),
    _answer("می\u200cخواهم به پاریس بروم چون شهر زیبایی است و دوستان زیادی در آنجا دارم."),
    _answer("A family \U0001f468\u200d\U0001f469\u200d\U0001f467 went to the sea for a good day."),
    _answer("If a < b and b < c, then a < c: the relation is transitive, so we are done here."),
    _answer('{"city": "Paris", "country": "France", "river": "Seine", "known": ["art", "food"]}'),
    _answer("Roses are red,\nviolets are blue,\nsugar is sweet,\nand so, my dear, are you."),
    _answer(
        LONG + "Its cranes are still, and the sheds behind them have stood empty for thirty years. "
        "Now there is music in one of them. So come and see what all of us have made of it. #AtLast"
    ),
    _answer("A phone number that is nobody's at all is (555) 123-4567, and so is 555-234-5678."),
    _answer("An address for examples, and for nothing else, is John.Doe@example-domain.com here."),
    _answer("Of a@d.co, b@x.co and @.co, the last one alone is no address that mail can go to."),
    _talk("system", "user", "assistant", "user", "assistant"),
    _pair("Paris is the capital of France.", "Lyon is the capital of France."),
]
# fmt: on


@pytest.mark.parametrize(("check", "item"), PLANTED)
def test_what_was_planted_is_found(check: str, item: AnyItem) -> None:
    assert by_id(check).found_in(view_of(item))


@pytest.mark.parametrize("item", CLEAN)
def test_a_clean_row_is_left_alone(item: AnyItem) -> None:
    view = view_of(item)
    found = {check.about.id for check in ROW_CHECKS if check.found_in(view)}
    assert found <= {"short-answer"}


def test_every_check_was_tried_and_says_what_it_is() -> None:
    tried = {check for check, _ in PLANTED}
    named = [check.about.id for check in ROW_CHECKS]
    assert len(set(named)) == len(named)
    assert set(named) - tried <= {"empty-prompt", "swapped-roles"}
    for check in ROW_CHECKS:
        assert check.about.why.endswith(".")
        assert check.about.advice.endswith(".")
        assert (check.repaired is not None) == (check.remedy == "repair")


_ANYTHING = st.text(max_size=200)


@given(_ANYTHING, _ANYTHING, _ANYTHING)
def test_no_check_ever_fails(one: str, two: str, three: str) -> None:
    items: list[AnyItem] = [
        Completion(one, two),
        Document(one),
        Labelled(one, two),
        Prompt(one),
        Judged(Completion(one, two), good=True),
        Pair(Completion(one, two), Completion(one, three)),
        Conversation(({"role": "user", "content": one}, {"role": "assistant", "content": two})),
    ]
    for item in items:
        view = view_of(item)
        assert {check.found_in(view) for check in ROW_CHECKS} <= {True, False}


_REPAIRING = [check for check in ROW_CHECKS if check.repaired is not None]


@pytest.mark.parametrize("check", _REPAIRING, ids=lambda check: check.about.id)
@given(
    before=_ANYTHING,
    planted=st.sampled_from(["\x07", "\u200b", "\x1b[31m", "&nbsp;", "<br>", "Ã©", "\u202e"]),
    after=_ANYTHING,
)
def test_what_was_repaired_is_sound(check, before: str, planted: str, after: str) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    repaired = check.repaired(f"{before}{planted}{after}")
    assert check.repaired(repaired) == repaired


@pytest.mark.parametrize(("check", "item"), [p for p in PLANTED if by_id(p[0]).repaired])
def test_repair_removes_what_was_found(check: str, item: AnyItem) -> None:
    found = by_id(check)
    assert isinstance(item, Completion)
    assert found.repaired is not None
    repaired = Completion(item.prompt, found.repaired(item.completion))
    assert repaired.completion != item.completion
    assert not found.found_in(view_of(repaired))
