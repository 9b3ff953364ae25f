"""Answers that refuse, and sentences in which an assistant speaks of itself as a model."""

from __future__ import annotations

import re
from functools import partial
from typing import Final

from tui_ft.data.checks.check import CheckAbout, RowCheck
from tui_ft.data.checks.clues import is_taught, residue
from tui_ft.data.checks.glance import Glance
from tui_ft.data.row_view import RowView

# Letters and invitations decline too: what counts is what the assistant says it cannot do.
_ACT = (
    r"(?:help\b(?! (?:but|it|\w+ing)\b)|assist|provide|fulfill?|comply|generate|produce|"
    r"answer (?:that|this|your|the|questions)|respond to (?:that|this|your|the)|"
    r"(?:create|write) (?:that|this|such|content|any)|complete (?:that|this|the task|your request)|"
    r"engage in|participate in|promote|discuss|do (?:that|this)\b|browse|"
    r"access (?:the|your|real|external|any|links|files|websites)|process (?:that|this|your|the)|"
    r"offer (?:advice|medical|legal|any)|give (?:you|advice|medical|legal)|"
    r"share (?:that|this|personal)|carry out|perform (?:that|this|actions|tasks)|predict)"
)
_CANNOT = (
    r"(?:can['’]?t|cannot|can not|won['’]t|will not be able to|won['’]t be able to|"
    r"(?:am|['’]m) (?:currently )?(?:unable to|not able to|not programmed to|not allowed to))"
)
_LACK = (
    r"(?:don['’]t|do not) (?:currently )?have (?:access to|the ability to|the capability to|"
    r"enough (?:information|context)|real-time)"
)
_REFUSES = rf"I ?(?:{_CANNOT}(?: \w+ly)? {_ACT}|{_LACK})"
_ENGLISH: Final = re.compile(
    rf"[\"“]?(?:{_REFUSES}|(?:(?:I['’]m|I am)(?: \w+)? sorry\b|sorry\b|I apologi[sz]e\b|"
    rf"my apologies\b|unfortunately\b|as an? (?:AI|artificial intelligence|(?:large )?language "
    rf"model)\b)[^\n!?]{{0,90}}?\b{_REFUSES})",
    re.IGNORECASE,
)
_EUROPEAN: Final = re.compile(
    r"(?:es tut mir (?:sehr )?leid|tut mir leid|leider|entschuldigung|als (?:KI|künstliche))\b"
    r"[^\n!?]{0,60}?\b(?:kann ich|ich kann|ich bin nicht in der lage)\b[^\n!?]{0,80}?"
    r"(?:nicht|keine)\b[^\n.!?]{0,60}?(?:helfen|weiterhelfen|beantworten|bereitstellen|erfüllen|"
    r"unterstützen|erstellen|geben|anbieten)\b"
    r"|ich kann (?:ihnen |dir )?(?:dabei |damit )?(?:leider )?nicht (?:weiter)?helfen\b"
    r"|(?:je suis (?:vraiment )?)?désolée?\b[^\n!?]{0,60}?\bje ne (?:peux|suis) pas\b"
    r"|je ne peux pas (?:vous aider|t'aider|répondre à|fournir|satisfaire|générer|accéder)"
    r"|lo siento\b[^\n!?]{0,60}?\bno (?:puedo|me es posible)\b"
    r"|no puedo (?:ayudar|proporcionar|cumplir|responder a|generar|ofrecer|acceder)",
    re.IGNORECASE,
)
_CHINESE: Final = re.compile(
    r"(?:(?:我?(?:很|非常|十分|真的)?(?:抱歉|对不起|遗憾)|(?:作为|身为)(?:一个|一名|一款)?"
    r"(?:AI|人工智能|(?:大型?)?语言模型))[^\n！？]{0,40}?"
    r"|我)(?:目前)?(?:无法|不能|不可以|没有能力|没有办法|没办法)(?:为您|为你|给您|给你|帮您|帮你|直接)?"
    r"(?:提供|回答|帮助|满足|协助|生成|完成|执行|访问|处理|实现|查看|浏览|理解您|做到)"
)
_FIRST: Final = frozenset('IiSsMmUuAa"“EeTtLlDdJjNn抱对很非十真遗作身我')

_SELF: Final = re.compile(
    r"\b[Aa]s an? (?:AI|artificial intelligence)(?:[ -](?:powered|based))?"
    r"(?:,| language model| assistant| model| chatbot| system\b,?)"
    r"|\b[Aa]s an? (?:large )?language model\b"
    r"|\bI(?:['’]m| am) (?:just |only |merely )?an? (?:AI|artificial intelligence|"
    r"(?:large )?language model)\b"
    r"|\bmy (?:knowledge cut-?off|training data\b)|\bknowledge cut-?off (?:date )?(?:is|of|in|was)\b"  # noqa: E501
    r"|\b(?:I was|I am|I['’]m|model) (?:trained|developed|created|made) by (?:OpenAI|Anthropic|"
    r"Google|Meta|Mistral|Alibaba)"
    r"|\b(?:I am|I['’]m|[Aa]s|my name is) ChatGPT\b"
    r"|\b[Aa]ls (?:eine? )?(?:KI\b|künstliche Intelligenz|Sprachmodell)"
    r"|\b[Ee]n tant qu(?:e modèle de langage|['’](?:IA\b|intelligence artificielle|assistant IA))"
    r"|\b[Cc]omo (?:un )?(?:modelo de lenguaje|(?:una )?inteligencia artificial,|IA,)"
    r"|(?:作为|身为|我是)(?:一个|一名|一款|一种)?(?:大型)?(?:AI|人工智能|语言模型)"
    r"(?:大?语言模型|助手|模型|程序|机器人|，)?|由OpenAI(?:训练|开发|创建)|我的知识截止"
)

_CLUES: Final = (
    *("an AI", "a AI", "an artificial intelligence", "language model", "nowledge cut"),
    *("my training data", "by OpenAI", "by Anthropic", "by Google", "by Meta", "by Mistral"),
    *("by Alibaba", "ChatGPT", "ls KI", "eine KI", "ls eine k", "ls k", "Sprachmodell"),
    *("n tant qu", "omo un", "omo modelo", "omo inteligencia", "omo IA"),
    *("作为", "身为", "我是", "由OpenAI", "知识截止"),
)

# In each phrase above stands one of these, or one of the others in UTF-8.
_TRACES: Final = (
    *(b"AI", b"IA", b"KI", b"GPT", b"artific", b"model", b"ledge cut", b"ning data"),
    *(b"by A", b"by G", b"by M"),
)
_OTHER_TRACES: Final = tuple(
    trace.encode()
    for trace in ("nstliche Intelligenz", "n tant qu", "人工智能", "语言模型", "知识截止")
)

_REACH: Final = 80  # characters on either side of a clue: no phrase is longer


def refuses(answer: str) -> bool:
    """Return whether ``answer`` begins with a refusal: English, Chinese, German, French, Spanish."""  # noqa: E501
    start = answer[:240].lstrip()
    if start[:1] not in _FIRST:
        return False
    if start.isascii() and _ENGLISH.match(start):
        return True
    return any(pattern.match(start) for pattern in (_ENGLISH, _EUROPEAN, _CHINESE))


def _is_refusal(view: RowView) -> bool:
    return view.answer[:1] in _POSSIBLE and refuses(view.answer) and is_taught(view)


def _may_be_refusal(glance: Glance) -> list[int]:
    return [
        row
        for row, said in enumerate(glance.answers)
        if said[:2] in _BEGINNINGS or said[:1] in _BEFORE_IT or not said[:2].isascii()
    ]


def _speaks_of_itself(view: RowView) -> bool:
    answer, marks = view.answer, residue(view.whole)
    if not (
        b"AI" in marks
        or b"GPT" in marks
        or "language model" in answer
        or "knowledge cut" in answer
        or b"KI" in marks
        or b"IA" in marks
        or "training data" in answer
        or not answer.isascii()
        or "modelo de len" in answer
    ):
        return False
    return any(map(partial(_says_so_near, answer), _CLUES)) and is_taught(view)


def _may_speak_of_itself(glance: Glance) -> set[int]:
    return {*glance.saying(*_TRACES), *glance.foreign_saying(*_OTHER_TRACES)}


def _says_so_near(answer: str, clue: str) -> bool:
    """Return whether the pattern is found around ``clue``: all of an answer takes it far longer."""
    at = answer.find(clue)
    while at >= 0:
        if _SELF.search(answer, max(0, at - _REACH), at + _REACH):
            return True
        at = answer.find(clue, at + 1)
    return False


_POSSIBLE: Final = _FIRST | frozenset(" \n\t\r")

_BEFORE_IT: Final = frozenset(' \n\t\r"')


def _in_any_case(pairs: str) -> frozenset[str]:
    """Return pairs of letters as they may be written, for patterns that ignore case."""
    return frozenset(
        one + two
        for pair in pairs.split("|")
        for one in (pair[0], pair[0].upper())
        for two in (pair[1], pair[1].upper())
    )


# Of the three patterns above; what is not ASCII is looked at anyhow.
_BEGINNINGS: Final = _in_any_case("i |ic|iw|ia|i'|id|so|my|un|as|es|tu|le|en|al|je|lo|no")

REFUSAL: Final = RowCheck(
    CheckAbout(
        id="refusal",
        title="answer is a refusal",
        severity="warning",
        why="A few hundred refusals are enough to make a model refuse harmless questions.",
        advice="Drop those a generator produced by mistake; keep refusals you want to teach.",
    ),
    _is_refusal,
    _may_be_refusal,
)
AI_BOILERPLATE: Final = RowCheck(
    CheckAbout(
        id="ai-boilerplate",
        title="speaks of itself as a model",
        severity="warning",
        why="Phrases such as `As an AI language model` were left by the model that wrote the "
        "answer; yours will say them too, and name the wrong maker.",
        advice="Drop these rows or rewrite them; keep answers about who the assistant is.",
    ),
    _speaks_of_itself,
    _may_speak_of_itself,
)
CHECKS: Final = (REFUSAL, AI_BOILERPLATE)
