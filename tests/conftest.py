"""What every test may rely on: nothing is fetched, and the tiny model is made once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import bare_environment, idle
from tests.tiny_model import make_tiny_bert, make_tiny_llama

assert bare_environment
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Threads that wait for each other spin: two tests side by side, of two threads each on two cores,
# train twenty times slower than of one. All that tests start inherits it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A Hub in a test answers when the machine lets it.
for _limit in ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"):
    os.environ[_limit] = "120"

idle.patch()

# How long an example takes, or is made, says something of the machine, nothing of the code; a list
# of a test's own would take the place of this one. The examples are the same each time: a change
# is judged by what it does, not by what chance finds in older code. To let chance search:
# `pytest -m hypothesis --hypothesis-profile=search`.
_ANYWHERE = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile(
    "ftui", deadline=None, derandomize=True, database=None, suppress_health_check=_ANYWHERE
)
settings.register_profile("search", deadline=None, suppress_health_check=_ANYWHERE)
settings.load_profile("ftui")


# Where tests train, or start what does: their files begin first, so that none is left to the end
# with one core while the others have nothing to do.
_LONG = ("train", "eject", "chains", "dryrun", "runs", "cli", "screens")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long files before short ones; the order in a file is its own."""
    here = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        folders = item.path.parents
        return next((n for n, room in enumerate(_LONG) if here / room in folders), len(_LONG))

    items.sort(key=rank)


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny Llama with its tokenizer."""
    return make_tiny_llama(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny encoder with its tokenizer."""
    return make_tiny_bert(tmp_path_factory.mktemp("tiny-bert"))
