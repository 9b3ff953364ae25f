"""Data sets: reading, formats, what carries loss, splitting. No library of the work is imported."""

from tui_ft.data.chat.loss_mask import MaskedRow, mask_row, prompt_text
from tui_ft.data.chat.mask_summary import MaskSummary, refusal
from tui_ft.data.chat.protocol import ChatTokenizer, Encoded, TemplateError
from tui_ft.data.chat.turns import Turn
from tui_ft.data.converting import convert
from tui_ft.data.digest import data_digest, file_digest
from tui_ft.data.files.reading import read_rows
from tui_ft.data.files.rows import Row
from tui_ft.data.format_table import objectives_of
from tui_ft.data.formats import Detection, detect
from tui_ft.data.items import Completion, Conversation, Document, Item, Message
from tui_ft.data.objective_fit import objective_refusal, sft_columns
from tui_ft.data.problems import BadLine, DataError, RowProblem
from tui_ft.data.split import held_out
from tui_ft.vocabulary import FormatName, LossOn

__all__ = [
    "BadLine",
    "ChatTokenizer",
    "Completion",
    "Conversation",
    "DataError",
    "Detection",
    "Document",
    "Encoded",
    "FormatName",
    "Item",
    "LossOn",
    "MaskSummary",
    "MaskedRow",
    "Message",
    "Row",
    "RowProblem",
    "TemplateError",
    "Turn",
    "convert",
    "data_digest",
    "detect",
    "file_digest",
    "held_out",
    "mask_row",
    "objective_refusal",
    "objectives_of",
    "prompt_text",
    "read_rows",
    "refusal",
    "sft_columns",
]
