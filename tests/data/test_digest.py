from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tui_ft.data import data_digest, file_digest


def test_digest_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    content = b'{"text": "Hello"}\n' * 100_000
    file.write_bytes(content)
    assert file_digest(file) == hashlib.sha256(content).hexdigest()
    file.write_bytes(b"")
    assert file_digest(file).startswith("e3b0c44298fc1c14")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        file_digest(tmp_path / "nothing")


def test_a_folder_has_the_digest_of_its_files_and_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "a.jsonl").write_text("{}\n")
    first = data_digest(folder)
    assert data_digest(folder) == first
    (folder / "a.jsonl").rename(folder / "b.jsonl")
    assert data_digest(folder) != first
    assert data_digest(folder / "b.jsonl") == file_digest(folder / "b.jsonl")
