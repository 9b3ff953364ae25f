from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.runs.conftest import ROOT
from tui_ft.train.several.meeting import meeting_folder, sweep

PROGRAM = """
import time
from tui_ft.train.several.meeting import meeting_folder
with meeting_folder() as folder:
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_what_a_killed_launcher_left_goes_and_nothing_else(tmp: Path) -> None:
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as other:
        assert other.stdout is not None
        left = Path(other.stdout.readline().strip())
        with meeting_folder() as mine:
            assert left.is_dir()  # it lives
            assert mine.stat().st_mode & 0o777 == 0o700
        assert not mine.exists()
        other.kill()
    spared = [tmp / f"ftui-ranks-{name}" for name in ("no-lock", "open-to-all", "a-file")]
    for one in spared[:2]:
        one.mkdir(mode=0o700)
    (spared[1] / "lock").touch()
    spared[1].chmod(0o755)
    spared[2].touch()
    elsewhere = tmp / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (elsewhere / "lock").touch()
    link = tmp / "ftui-ranks-link"
    link.symlink_to(elsewhere)
    sweep()
    assert not left.exists()
    assert all(one.exists() for one in (*spared, elsewhere / "lock", link))


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives folders away")
def test_what_is_another_users_is_left_alone(tmp: Path) -> None:
    theirs = tmp / "ftui-ranks-theirs"
    theirs.mkdir(mode=0o700)
    (theirs / "lock").touch()
    os.chown(theirs, 12345, 12345)
    sweep()
    assert theirs.is_dir()
