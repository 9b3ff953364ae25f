"""Checks that need to see the whole data set, and lines that hold no row: what people are told."""

from __future__ import annotations

from typing import Final

from tui_ft.data.checks.check import CheckAbout

_ABOUT: Final = (
    CheckAbout(
        "broken-line",
        "line cannot be read",
        "bad",
        "It is left out of training; many of them mean that the file was damaged or cut off.",
        "Write the file again, or let cleaning write one with the good rows only.",
    ),
    CheckAbout(
        "unusable-empty-answer",
        "answer empty",
        "bad",
        "There is nothing to learn from; learned all the same, the model learns to say nothing.",
        "Drop these rows; training leaves them out by itself.",
    ),
    CheckAbout(
        "unusable-empty-prompt",
        "prompt empty",
        "bad",
        "An answer to no question.",
        "Drop these rows; training leaves them out by itself.",
    ),
    CheckAbout(
        "unusable-unknown-role",
        "unknown role",
        "bad",
        "A turn whose speaker is not known cannot be put through a chat template.",
        "Rename the role to system, user, assistant or tool.",
    ),
    CheckAbout(
        "unusable-no-answer",
        "no answer of the assistant's",
        "bad",
        "There is nothing to learn from in a dialogue in which the model never speaks.",
        "Drop these rows, or check which column holds the answer.",
    ),
    CheckAbout(
        "unusable-bad-shape",
        "row not of the data set's format",
        "bad",
        "It cannot be converted and is left out of training.",
        "Mend the rows, or map the columns by hand with data.columns.",
    ),
    CheckAbout(
        "exact-duplicate",
        "exact duplicates",
        "warning",
        "Rows seen twice an epoch are learned by heart, and leak from training into evaluation.",
        "Drop all but the first.",
        "arXiv:2107.06499",
    ),
    CheckAbout(
        "near-duplicate",
        "near duplicates",
        "warning",
        "As exact ones, only harder to see; held-out rows with a near twin in training flatter.",
        "Drop all but the first of each group, or split by group.",
        "arXiv:2107.06499",
    ),
    CheckAbout(
        "semantic-duplicate",
        "mean the same in other words",
        "warning",
        "Rows that a sentence encoder takes for one weigh that much more, and leak from training "
        "into evaluation.",
        "Look at the groups; drop all but the first where they teach the same.",
        "SemDeDup, arXiv:2303.09540",
    ),
    CheckAbout(
        "personal-data",
        "personal data (presidio)",
        "warning",
        "Numbers of identity papers, accounts, addresses of machines: models repeat what they were "
        "trained on, and some of it belongs to people.",
        "Look at them: drop the rows that hold real ones, or put made-up ones in their place.",
        "Carlini et al. 2021, Extracting Training Data from Large Language Models",
    ),
    CheckAbout(
        "names-of-people",
        "names of people (presidio)",
        "note",
        "Names of private persons do not belong in a model; those of public ones stand anywhere.",
        "Look at some of them: drop the rows that are about private persons.",
    ),
    CheckAbout(
        "toxic-text",
        "offensive language (profanity-check)",
        "note",
        "A model repeats the tone of its data. A classifier of English words by their company: "
        "it is often wrong, of mosquitoes that suck blood for one.",
        "Look at them: drop those that are not there on purpose, as in data for moderation.",
    ),
    CheckAbout(
        "conflicting-answers",
        "same prompt, different answers",
        "note",
        "Good where variety is wanted; where one answer is right, the model learns to waver.",
        "Keep the best answer to each prompt.",
    ),
    CheckAbout(
        "eval-overlap",
        "also in the evaluation data",
        "bad",
        "What is examined was learned before: the evaluation flatters.",
        "Drop these rows from the training file.",
    ),
    CheckAbout(
        "eval-overlap-ngram",
        "13 words in a row shared with the evaluation data",
        "warning",
        "Long passages in common mean that the answer may have been learned by heart.",
        "Look at them; drop them where they are the same question.",
        "GPT-3, arXiv:2005.14165, appendix C",
    ),
    CheckAbout(
        "mixed-columns",
        "rows with other columns",
        "note",
        "Files put together from several sources often mix formats.",
        "Look whether these rows mean the same; they are read by the columns of the format found.",
    ),
    CheckAbout(
        "length-varies",
        "answer lengths vary widely",
        "note",
        "With a standard deviation above twice the mean, a few rows decide memory and padding.",
        "Use packing or length sampling; look at the longest rows.",
    ),
    CheckAbout(
        "unbalanced-labels",
        "labels unbalanced",
        "warning",
        "The commonest class is ten times the rarest: accuracy will look good without learning.",
        "Weight the classes, or sample them evenly; look at F1 rather than accuracy.",
    ),
    CheckAbout(
        "language-mix",
        "several languages",
        "note",
        "A model answers in the language it saw most, also where it should not.",
        "Check that the mix is meant.",
    ),
    CheckAbout(
        "cut-by-max-length",
        "longer than max_length",
        "warning",
        "What is cut off is not learned, the end of the answer first.",
        "Raise max_length, or shorten these rows.",
    ),
    CheckAbout(
        "no-token-learned",
        "no token learned",
        "bad",
        "No token of the row carries loss, after the cut at max_length: it costs time for nothing.",
        "Raise max_length, or drop these rows.",
    ),
    CheckAbout(
        "turn-never-ends",
        "end of turn not learned",
        "bad",
        "A model that never learned to end its turn goes on until it is cut off.",
        "Raise max_length, or give a chat template that ends the assistant's turn.",
    ),
    CheckAbout(
        "double-bos",
        "two begin-of-text tokens",
        "warning",
        "The data holds one and the template adds another: not what the model was trained on.",
        "Remove it from the data.",
    ),
    CheckAbout(
        "template-refuses",
        "the chat template refuses it",
        "bad",
        "The row cannot be rendered for this model and is left out.",
        "Mend the order of roles, or give another template with model.chat_template.",
    ),
)

SET_CHECKS: Final = {about.id: about for about in _ABOUT}

SET_REMEDIES: Final = {
    **{about.id: "drop" for about in _ABOUT if about.id.startswith("unusable-")},
    "broken-line": "drop",
    "exact-duplicate": "drop",
    "near-duplicate": "drop",
    "semantic-duplicate": "drop",
    "personal-data": "drop",
    "toxic-text": "drop",
    "eval-overlap": "drop",
    "eval-overlap-ngram": "drop",
    "conflicting-answers": "none",
}
"""What cleaning can do about those that name rows."""

LOOKED_FOR_BY: Final[dict[str, tuple[str, str]]] = {
    "semantic-duplicate": ("semantic duplicates", "--embed"),
    "personal-data": ("personal data", "--pii"),
    "names-of-people": ("personal data", "--pii"),
    "toxic-text": ("toxicity", "--toxicity"),
}
"""Those that are looked for only when asked for: the stage that does, and the option."""
