from __future__ import annotations

from pathlib import Path

import pytest

from tests.nvml_stub import build_stub, stub_environment


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_stub(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def environment(library: Path) -> dict[str, str]:
    return stub_environment(library)
