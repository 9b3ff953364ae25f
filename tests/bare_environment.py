"""Of the environment in which the tests are started, what would change them is left out.

Imported before all else: some libraries look once, when they are loaded.
"""

from __future__ import annotations

import os
from typing import Final

_LEFT_OUT: Final = frozenset(
    (
        *("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "SSH_CONNECTION"),  # what a terminal shows
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"),  # a test's server is on this machine
        *("HF_ENDPOINT", "HF_TOKEN", "HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN"),
        *("FTUI_CONFIG", "WANDB_API_KEY", "MLFLOW_TRACKING_URI"),
    )
)

for _name in list(os.environ):
    is_textuals = _name.startswith("TEXTUAL_") and not _name.startswith("TEXTUAL_SNAPSHOT_")
    if _name.upper() in _LEFT_OUT or is_textuals:
        del os.environ[_name]
os.environ["FTUI_ASCII"] = "0"  # whatever the locale and the terminal are
