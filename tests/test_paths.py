from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from tui_ft import paths


def test_home_is_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTUI_HOME", str(tmp_path))
    assert paths.runs_dir() == tmp_path / "runs"
    assert paths.leases_dir() == tmp_path / "leases"
    monkeypatch.delenv("FTUI_HOME")
    assert paths.home().name == "ftui"


def test_folders_and_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        folder = paths.make_private_dir(tmp_path / "a" / "b")
        paths.write_atomically(folder / "file", "text")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "file").stat().st_mode) == 0o600


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    paths.write_atomically(file, "old")

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        paths.write_atomically(file, "new")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_written_replaces_the_file_whole(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("a much longer text than the new one")
    file.chmod(0o644)
    paths.write_atomically(file, "é\n")
    assert file.read_bytes() == b"\xc3\xa9\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    paths.write_atomically(file, b"\x00\xff")
    assert file.read_bytes() == b"\x00\xff"
    assert list(tmp_path.iterdir()) == [file]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    paths.write_atomically(tmp_path / "link", "new")
    assert (tmp_path / "target").read_text() == "old"
    assert (tmp_path / "link").read_text() == "new"
    assert not (tmp_path / "link").is_symlink()


def test_a_reader_sees_the_old_file_or_the_new(tmp_path: Path) -> None:
    file = tmp_path / "file"
    contents = [letter * 200_000 for letter in "ab"]
    paths.write_atomically(file, contents[0])
    seen: set[str] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(file.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(50):
        paths.write_atomically(file, contents[turn % 2])
    done.set()
    reader.join()
    assert seen <= set(contents)
    assert seen


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert paths.make_private_dir(tmp_path) == tmp_path
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        paths.make_private_dir(tmp_path / "file" / "folder")


def test_where_things_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FTUI_HOME", "~/ftui")
    monkeypatch.setenv("FTUI_CONFIG", "~/config")
    assert paths.models_dir() == tmp_path / "ftui" / "models"
    assert paths.config_dir() == tmp_path / "config"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FTUI_HOME", "here")
    assert paths.home() == tmp_path / "here"
    monkeypatch.delenv("FTUI_CONFIG")
    assert paths.config_dir().name == "ftui"


def test_the_home_folder_of_nobody() -> None:
    assert paths.expand("~no-such-user/x") == Path("~no-such-user/x")


def test_an_error_names_the_file_that_was_meant(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as refused:
        paths.write_atomically(tmp_path / "nowhere" / "a.yaml", "x")
    assert refused.value.filename == str(tmp_path / "nowhere" / "a.yaml")
    with pytest.raises(IsADirectoryError) as other:
        paths.write_atomically(tmp_path, "x")
    assert (other.value.filename, other.value.filename2) == (str(tmp_path), None)
    with pytest.raises(FileNotFoundError) as refused, paths.whole_file(tmp_path / "b"):
        (tmp_path / "source").read_bytes()
    assert refused.value.filename == str(tmp_path / "source")
    assert not list(tmp_path.iterdir())


def test_two_who_write_the_same_file_do_not_mix(tmp_path: Path) -> None:
    with paths.whole_file(tmp_path / "a") as first, paths.whole_file(tmp_path / "a") as second:
        first.write(b"1" * 100)
        second.write(b"2" * 9)
    assert (tmp_path / "a").read_bytes() == b"1" * 100
    assert [one.name for one in tmp_path.iterdir()] == ["a"]
