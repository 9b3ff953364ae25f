"""What every test may rely on: nothing is fetched, and the tiny model is made once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.tiny_model import make_tiny_bert, make_tiny_llama

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Threads that wait for each other spin: two tests side by side, of two threads each on two cores,
# train twenty times slower than of one. All that tests start inherits it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says something of the machine, nothing of the code.
settings.register_profile("ftui", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ftui")


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny Llama with its tokenizer."""
    return make_tiny_llama(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny encoder with its tokenizer."""
    return make_tiny_bert(tmp_path_factory.mktemp("tiny-bert"))
