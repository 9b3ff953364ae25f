"""Whoever pipes into `head`, or closes the output, gets the work done all the same, quietly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import MakeRun
from tests.runs.conftest import ended, wait_until
from tui_ft.runs import events as ev
from tui_ft.runs.folder import find

FTUI = [sys.executable, "-c", "from tui_ft.cli import main; main()"]


def unread(*arguments: str, err: bool = False) -> tuple[int, str]:
    """Run a command whose output nobody reads; return its exit code and what it complained of."""
    read, write = os.pipe()
    os.close(read)
    ran = subprocess.run(
        [*FTUI, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=write,
        stderr=write if err else subprocess.PIPE,
        check=False,
        timeout=240,
    )
    os.close(write)
    return ran.returncode, (ran.stderr or b"").decode()


def test_a_run_is_started_though_nobody_reads_what_was_found(home: Path, spec_file: Path) -> None:
    assert unread("train", "run.yaml", "--detach", err=True)[0] == 0
    wait_until(find("support"), ended)


def test_what_is_written_is_written(home: Path, spec_file: Path, tmp_path: Path) -> None:
    rows = [{"prompt": f"say {n // 2}", "completion": str(n // 2)} for n in range(40)]
    Path("twice.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert unread("clean", "twice.jsonl", "--out", "once.jsonl") == (0, "")
    assert len(Path("once.jsonl").read_text().splitlines()) == 20
    new = ("chain", "new", "--pipeline", "sft-dpo", "--model", "m", "--data", "sft=a")
    assert unread(*new, "--data", "dpo=b", "--out", "chain.yaml")[0] == 0
    assert Path("chain.yaml").is_file()


def test_a_run_is_removed_and_what_only_shows_ends(make_run: MakeRun) -> None:
    folder = make_run("done", ev.Ended(state="finished", reason="all steps done"))
    make_run("long", *(ev.Log(text=f"line {n}") for n in range(300)))
    for shows in (("logs", "long", "--follow"), ("watch", "long"), ("watch", "long", "--json")):
        code, said = unread(*shows)
        assert (code, said) == (141, "")
    assert unread("runs")[0] == 0
    assert unread("delete", "done", "--yes") == (0, "")
    assert not folder.path.exists()


def test_without_any_output_or_input_nothing_breaks(make_run: MakeRun) -> None:
    make_run("done", ev.Ended(state="finished", reason="all steps done"))
    for shows in ("runs", "watch done", "logs done"):
        line = f"exec {sys.executable} -c 'from tui_ft.cli import main; main()' {shows} >&- <&-"
        ran = subprocess.run(line, shell=True, capture_output=True, check=False, text=True)
        assert "Traceback" not in ran.stderr, ran.stderr
