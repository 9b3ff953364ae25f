"""What should not be learned by heart: keys and passwords, addresses, numbers of people.

A shape alone is not enough: prose, code and the examples of manuals have most of them. Keys have
to look random, numbers to have the right check digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from tui_ft.data.checks.check import CheckAbout, RowCheck
from tui_ft.data.checks.clues import digit_count, residue
from tui_ft.data.checks.glance import Glance, characters
from tui_ft.data.row_view import RowView

_EMAIL: Final = re.compile(
    r"(?<![\w.+%@/:-])[A-Za-z0-9][\w.+%-]{0,63}@((?:[A-Za-z0-9-]{1,63}\.){1,4}"
    r"(?:com|org|net|edu|gov|mil|int|info|biz|name|app|dev|online|shop|tech|cloud|xyz|[A-Za-z]{2}))"
    r"(?![\w(@:/=-]|\.\w)"
)
_NOBODYS: Final = re.compile(
    r"(?:^|\.)(?:example|test|invalid|localhost)(?:\.|$)|^(?:domain|email|company|your-?\w*|mail|abc|"
    r"xyz|website|site|provider|[\w-]*example[\w-]*)\.\w+$",
    re.IGNORECASE,
)
_OF_LETTERS: Final = re.compile(r"\w@\w\.")  # a@b.co, as in questions about addresses

_KEYS: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:AKIA|ASIA)(?P<aws>[0-9A-Z]{16})(?![A-Za-z0-9])"
    r"|gh[pousr]_(?P<github>[A-Za-z0-9]{36,})|github_pat_(?P<pat>[A-Za-z0-9_]{50,})"
    r"|(?<!-)sk-(?P<sk>[A-Za-z0-9_-]{20,})|hf_(?P<hf>[A-Za-z0-9]{30,})"
    r"|xox[abprs]-(?P<slack>[0-9A-Za-z-]{20,})|AIza(?P<google>[0-9A-Za-z_-]{35})"
    r"|eyJ(?P<jwt>[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{16,}))"
)
_UNDERSCORED: Final = ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "hf_")
_KEY_BEGINNINGS: Final = (
    *(b"sk-", b"xox", b"PRIVATE KEY", b"eyJ", b"AIza", b"AKIA", b"ASIA"),
    *(begin.encode() for begin in _UNDERSCORED),
)
_PRIVATE_KEY: Final = re.compile(
    r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----(?:\s|\\n)*(?:[\w-]+:[^\n]*\s+)*(?P<key>[A-Za-z0-9+/=]{32,})"  # noqa: E501
)
_URL_PASSWORD: Final = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@<>\"'{}$\[\]]{1,64}:(?P<password>[^\s/:@<>\"'{}$\[\]*]{6,128})"
    r"@(?!(?:\w+\.)*(?:example|host|hostname|server)\b)[\w.-]+"
)
_DUMMY: Final = re.compile(
    r"example|your|placeholder|xxxx|\.\.\.|abcdef|123456|password|passw0rd|secret|dummy|changeme",
    re.IGNORECASE,
)
_DISTINCT: Final = 10
_MANY: Final = 3

_PHONE_DIGITS: Final = 9
_PHONE: Final = re.compile(
    r"(?<![\w.+/=-])(?:\+[1-9]\d{0,2}[ .-]?\(?\d{1,4}\)?(?:[ .-]?\d{2,4}){2,4}"
    r"|\((?!555)[2-9]\d{2}\) ?(?!555)\d{3}[ .-]\d{4}"
    r"|(?:1-)?(?!555)[2-9]\d{2}-(?!555)[2-9]\d{2}-\d{4})"
    r"(?![\w/=*+-]|\.\d)"
    r"|(?:手机|电话|联系方式|微信)[号码]{0,2}[是为:： ]{0,2}1[3-9]\d{9}(?!\d)"
)
# In the residue, where the spaces of a number are gone.
_DASHED: Final = re.compile(rb"\d{3}-\d{4}")
_PLUS: Final = re.compile(rb"\+[1-9]\d")
_PLUS_OR_SO: Final = re.compile(rb"\+[1-9]-?\d")
_LEAST_DIGITS: Final = 6
_PHONE_MARKS: Final = re.compile(rb"\+[1-9](?:-?\d){5}|[2-9]\d{5}-?\d{4}|[2-9]\d\d-[2-9]\d\d-\d{4}")
_PHONE_WORDS: Final = ("手机", "电话", "联系方式", "微信")
_PHONE_WORDS_IN_UTF8: Final = tuple(word.encode() for word in _PHONE_WORDS)
# How decimal digits of other scripts begin in UTF-8, and all of full width.
_OTHER_DIGIT_BYTES: Final = (
    *(((lead, lead),) for lead in (0xD9, 0xDB, 0xDF, 0xE0, 0xE1, 0xEA, 0xF0)),
    characters(0xFF10, 0xFF19),
)
_OTHER_DIGIT: Final = re.compile(r"[^\D0-9]")  # of other scripts, and full width
_AREA: Final = re.compile(r"\([2-9]\d\d\)")
# What is left of a card's number or an IBAN among a row's marks, its spaces gone.
_ACCOUNT_MARKS: Final = re.compile(
    rb"(?:4\d{3}|5[1-5]\d\d|2[2-7]\d\d|6011|65\d\d|3[47]\d\d)-?"
    rb"(?:\d{4}-?\d{4}-?\d{4}|\d{6}-?\d{5})"
    rb"|[A-Z]{2}\d\d[A-Z0-9]{8}"
)
_LONG_NUMBER: Final = re.compile(rb"\d(?:-?\d){12}|[A-Z]{2}\d\d[A-Z0-9]{10}")
_CARD_DIGITS: Final = 13
# Both begin with what a search can skip to, and only then look back.
_CARD: Final = re.compile(
    r"[2-6](?<![\w.,+-][2-6])"
    r"(?:(?<=4)\d{3}|(?<=5)[1-5]\d{2}|(?<=2)[2-7]\d{2}|(?<=6)(?:011|5\d{2})|(?<=3)[47]\d{2})"
    r"(?:([ -]?)\d{4}\1\d{4}\1\d{4}"
    r"|[ -]?\d{6}[ -]?\d{5})(?![\w.,-]*\d)"
)
_IBAN: Final = re.compile(
    r"[A-Z](?<!\w[A-Z])[A-Z]\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)"
)
_TEST_CARDS: Final = frozenset(
    ("4111111111111111", "4242424242424242", "5555555555554444", "378282246310005")
)
_TEST_IBANS: Final = frozenset(("DE89370400440532013000", "GB82WEST12345698765432"))


def _has_email(view: RowView) -> bool:
    if b"@" not in residue(view.whole):
        return False
    return any(
        not _NOBODYS.search(match[1]) and not _OF_LETTERS.match(match[0])
        for match in _EMAIL.finditer(view.whole)
    )


def _may_have_email(glance: Glance) -> list[int]:
    return glance.saying(b"@")


def _has_secret(view: RowView) -> bool:
    text = view.whole
    return _may_hold_key(text, residue(text)) and any(_is_secret(key) for key in _keys(text))


def _may_have_secret(glance: Glance) -> set[int]:
    with_password = set(glance.saying(b"@")).intersection(glance.saying(b"://"))
    return with_password.union(glance.saying(*_KEY_BEGINNINGS))


def _may_hold_key(text: str, marks: bytes) -> bool:
    # Of a key's beginning its capitals and signs stand in the residue, which is soon searched.
    return (
        (b"_" in marks and any(sign in text for sign in _UNDERSCORED))
        or (b"-" in marks and ("sk-" in text or "xox" in text or "PRIVATE KEY" in text))
        or (b"J" in marks and "eyJ" in text)
        or (b"AI" in marks and "AIza" in text)
        or (b"@" in marks and "://" in text)
        or b"AKIA" in marks
        or b"ASIA" in marks
    )


def _keys(text: str) -> Iterator[str]:
    """Yield what has the shape of a key or a password."""
    yield from (match[match.lastgroup or 0] for match in _KEYS.finditer(text))
    if "PRIVATE KEY-----" in text:
        yield from (match["key"] for match in _PRIVATE_KEY.finditer(text))
    if "://" in text and "@" in text:
        for match in _URL_PASSWORD.finditer(text):
            # Passwords are shorter than keys; what says it is one is not.
            if not _DUMMY.search(match["password"]) and not match["password"].isalpha():
                yield match["password"] + "0123456789AZaz"


def _is_secret(key: str) -> bool:
    """Return whether ``key`` looks random, and not like a name or the example of a manual."""
    if len(set(key)) < _DISTINCT or _DUMMY.search(key.removesuffix("0123456789AZaz")):
        return False
    return sum(map(str.isdigit, key)) >= _MANY or (
        sum(map(str.isupper, key)) >= _MANY and sum(map(str.islower, key)) >= _MANY
    )


def _has_phone_number(view: RowView) -> bool:
    text = view.whole
    if digit_count(text) < _PHONE_DIGITS or not _may_hold_phone(text, residue(text)):
        return False
    return _PHONE.search(text) is not None


def _may_have_phone_number(glance: Glance) -> set[int]:
    numbered = glance.with_digits_together(_LEAST_DIGITS)
    suspects = {row for row in numbered if _PHONE_MARKS.search(glance.marks_of(row))}
    suspects.update(glance.foreign_saying(*_PHONE_WORDS_IN_UTF8))
    with_enough = {row for row in suspects if glance.digits[row] >= _PHONE_DIGITS}
    return with_enough.union(_with_other_digits(glance, _PHONE_DIGITS))


def _with_other_digits(glance: Glance, least: int) -> list[int]:
    """Return the rows with ``least`` ASCII digits that may have some of other scripts too."""
    rows = glance.with_sequence(*_OTHER_DIGIT_BYTES)
    return [row for row in rows if glance.digits[row] >= least]


def _may_hold_phone(text: str, marks: bytes) -> bool:
    if _DASHED.search(marks) or _AREA.search(text):
        return True
    if text.isascii():
        return _PLUS.search(marks) is not None
    return (
        _PLUS_OR_SO.search(marks) is not None
        or any([word in text for word in _PHONE_WORDS])
        or _OTHER_DIGIT.search(text) is not None
    )


def _has_account_number(view: RowView) -> bool:
    text = view.whole
    if digit_count(text) < _CARD_DIGITS or not _LONG_NUMBER.search(residue(text)):
        return False
    return any(_is_card(match[0]) for match in _CARD.finditer(text)) or any(
        _is_iban(match[0]) for match in _IBAN.finditer(text)
    )


def _may_have_account_number(glance: Glance) -> set[int]:
    numbered = {*glance.with_digits_together(_CARD_DIGITS), *glance.with_code()}
    suspects = {
        row
        for row in numbered
        if glance.digits[row] >= _CARD_DIGITS and _ACCOUNT_MARKS.search(glance.marks_of(row))
    }
    return suspects.union(_with_other_digits(glance, _CARD_DIGITS))


def _is_card(number: str) -> bool:
    """Return whether the check digit is right (Luhn, ISO/IEC 7812-1), and it is no test card."""
    digits = [int(character) for character in number if character.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    code = "".join(map(str, digits))
    return (sum(doubled) + sum(digits[::-2])) % 10 == 0 and code not in _TEST_CARDS


def _is_iban(number: str) -> bool:
    """Return whether the check digits are right (ISO 13616: modulo 97 is 1)."""
    code = number.replace(" ", "")
    digits = "".join(str(int(character, 36)) for character in code[4:] + code[:4])
    return int(digits) % 97 == 1 and code not in _TEST_IBANS


EMAIL_ADDRESS: Final = RowCheck(
    CheckAbout(
        id="email-address",
        title="e-mail address",
        severity="warning",
        why="Models repeat addresses they were trained on, and some belong to people.",
        advice="Drop these rows or put example.com addresses in their place.",
        source="Carlini et al. 2021, Extracting Training Data from Large Language Models",
    ),
    _has_email,
    _may_have_email,
)
SECRET: Final = RowCheck(
    CheckAbout(
        id="secret",
        title="key or password",
        severity="bad",
        why="A key for a service, a private key or a password in a URL: whoever asks the model "
        "may get it.",
        advice="Revoke it, then drop these rows.",
        source="Carlini et al. 2021, Extracting Training Data from Large Language Models",
    ),
    _has_secret,
    _may_have_secret,
)
PHONE_NUMBER: Final = RowCheck(
    CheckAbout(
        id="phone-number",
        title="phone number",
        severity="note",
        why="Models repeat numbers they were trained on, and some belong to people.",
        advice="Look at some of them: drop the rows that hold private numbers.",
    ),
    _has_phone_number,
    _may_have_phone_number,
    remedy="none",
)
ACCOUNT_NUMBER: Final = RowCheck(
    CheckAbout(
        id="account-number",
        title="card number or IBAN",
        severity="note",
        why="A number with the right check digits may be somebody's card or account.",
        advice="Look at some of them: drop the rows that hold real ones.",
    ),
    _has_account_number,
    _may_have_account_number,
    remedy="none",
)
CHECKS: Final = (SECRET, EMAIL_ADDRESS, PHONE_NUMBER, ACCOUNT_NUMBER)
