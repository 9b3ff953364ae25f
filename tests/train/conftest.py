from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tui_ft import paths


@pytest.fixture(scope="module")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Let the tests of a module share what runs leave, apart from all other tests."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTUI_HOME", str(folder))
        paths.make_private_dir(folder / "runs")
        yield folder
