from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Ftui, MakeRun, in_a_process
from tests.runs.conftest import ended, wait_until
from tui_ft.hardware import take_snapshot
from tui_ft.runs import events as ev
from tui_ft.runs.environment import record_environment
from tui_ft.runs.folder import RunFolder, find, hold_lock

_TRAINS = (
    ev.Phase(phase="train", text="trains"),
    ev.Metrics(step=1, epoch=0.5, values={"loss": 2.5, "tokens_per_second": 1200.0}),
    ev.Progress(step=1, total_steps=2, epoch=0.5, eta_s=75.0),
)
_FINISHED = ev.Ended(state="finished", reason="all 2 steps done")


def _lines_of(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_runs_lists_the_live_one_first(ftui: Ftui, make_run: MakeRun) -> None:
    make_run("done", *_TRAINS, _FINISHED)
    live = make_run("busy", *_TRAINS)
    with hold_lock(live):
        rows = json.loads(ftui("runs", "--json").stdout)
        assert [(row["id"], row["state"]) for row in rows] == [
            ("busy", "training"),
            ("done", "finished"),
        ]
        assert rows[0]["loss"] == 2.5
        head, first, second = ftui("runs").stdout.splitlines()
    assert head.split() == ["state", "run", "progress", "loss", "left", "age"]
    assert first.split()[:4] == ["training", "busy", "1/2", "2.50"]
    assert "all 2 steps done" in second


def test_a_followed_run_is_told_in_lines_and_its_end_is_the_exit_code(
    ftui: Ftui, make_run: MakeRun
) -> None:
    make_run("good", *_TRAINS, _FINISHED)
    done = ftui("watch", "good")
    assert done.exit_code == 0
    assert "step 1/2  epoch 0.50  loss 2.50  1.20 k tokens/s  left 1:15" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("finished: all 2 steps done")
    make_run("bad", ev.Ended(state="failed", reason="no memory", advice=("take qlora",)))
    done = ftui("watch", "bad")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-2:] == [
        done.stdout.splitlines()[-2],
        "  take qlora",
    ]
    assert "failed: no memory" in done.stdout


def test_a_crashed_run_says_so_and_ends_with_1(ftui: Ftui, make_run: MakeRun) -> None:
    make_run("gone", *_TRAINS)
    done = ftui("watch", "gone")
    assert done.exit_code == 1
    assert "crashed: its supervisor" in done.stdout
    assert "ftui resume gone" in done.stdout
    done = ftui("watch", "gone", "--json")
    *_, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.exit_code, last["type"], last["state"]) == (1, "ended", "crashed")
    assert last["reason"] in done.stderr
    assert any("ftui resume gone" in advice for advice in last["advice"])


def test_events_as_json_are_those_of_the_file(ftui: Ftui, make_run: MakeRun) -> None:
    folder = make_run("good", *_TRAINS, _FINISHED)
    assert ftui("watch", "good", "--json").stdout == folder.events_file.read_text()


def test_a_phase_tells_how_far_it_is(ftui: Ftui, make_run: MakeRun) -> None:
    text = "fetches the model"
    phase = ev.Phase(phase="download", text=text, done=1.2e9, total=5.4e9, unit="B")
    make_run("big", phase, _FINISHED)
    assert "fetches the model: 1.20 GB of 5.40 GB\n" in ftui("watch").stdout


def test_foreign_text_is_shown_harmless(ftui: Ftui, make_run: MakeRun) -> None:
    folder = make_run("odd", ev.Log(text="\x1b]0;owned\x07hello\rthere"), _FINISHED)
    folder.worker_log.write_text("\x1b[2Jcleared\n")
    for shown in (ftui("watch", "odd"), ftui("logs", "odd"), ftui("logs", "odd", "--worker")):
        assert not {"\x1b", "\x07", "\r"} & set(shown.stdout)
    assert ftui("logs", "odd", "--worker").stdout == "cleared\n"


def test_logs_as_json(ftui: Ftui, make_run: MakeRun) -> None:
    make_run("good", *_TRAINS, _FINISHED)
    lines = [json.loads(line) for line in ftui("logs", "--json").stdout.splitlines()]
    assert [line["text"] for line in lines][-1] == "finished: all 2 steps done"
    assert all(isinstance(line["t"], float) for line in lines)


def test_the_worker_log_of_a_run_without_one(ftui: Ftui, make_run: MakeRun) -> None:
    make_run("good")
    done = ftui("logs", "--worker")
    assert done.exit_code == 1
    assert "the worker was never started" in done.stderr


def test_a_run_is_found_by_the_beginning_of_its_name(ftui: Ftui, make_run: MakeRun) -> None:
    for name in ("alpha-1", "alpha-2"):
        make_run(name, _FINISHED)
    assert ftui("logs", "alpha-2").exit_code == 0
    assert "could be any of: alpha-1, alpha-2" in ftui("logs", "alpha").stderr


def test_stop_and_its_kin_leave_their_word_with_the_live_run(ftui: Ftui, make_run: MakeRun) -> None:
    make_run("done", _FINISHED)
    live = make_run("busy", *_TRAINS)
    with hold_lock(live):
        assert json.loads(ftui("stop", "--json").stdout) == {"run": "busy", "command": "stop"}
        assert "will save a checkpoint" in ftui("checkpoint").stdout
        assert ftui("stop", "busy", "--now").exit_code == 0
    asked = [line["command"] for line in _lines_of(live.control_file)]
    assert asked == ["stop", "checkpoint", "kill"]


def test_kill_takes_a_whole_name_or_asks(
    ftui: Ftui, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = make_run("busy-2", *_TRAINS)
    with hold_lock(live):
        for begun in (("kill", "busy"), ("stop", "busy", "--now")):
            refused = ftui(*begun)
            assert refused.exit_code == 1
            assert refused.stderr == "busy is not there, busy-2 is: give the whole name\n"
        monkeypatch.setattr("tui_ft.commands.output.is_terminal", lambda: True)
        for some in (("kill",), ("kill", "busy")):
            assert ftui(*some, answer="n\n").exit_code == 1
        assert not live.control_file.exists()
        assert "End busy-2 at once" in ftui("kill", "busy", answer="y\n").stderr
        assert ftui("kill", "busy-2", answer="").exit_code == 0
    assert [line["command"] for line in _lines_of(live.control_file)] == ["kill", "kill"]


def test_stop_without_a_name_does_not_choose_among_several(ftui: Ftui, make_run: MakeRun) -> None:
    with hold_lock(make_run("one")), hold_lock(make_run("two")):
        assert "name one of one, two" in ftui("stop").stderr


def test_what_has_ended_cannot_be_stopped_nor_a_finished_run_resumed(
    ftui: Ftui, make_run: MakeRun
) -> None:
    make_run("done", _FINISHED)
    assert "it is finished" in ftui("stop", "done").stderr
    assert "has finished" in ftui("resume", "done").stderr


def test_delete_asks_and_spares_a_live_run(ftui: Ftui, make_run: MakeRun) -> None:
    folder = make_run("done", _FINISHED)
    with hold_lock(make_run("busy", *_TRAINS)):
        refused = ftui("delete", "busy", "--yes")
        assert refused.exit_code == 1
        assert "stop it first" in refused.stderr
    assert ftui("delete", "done", answer="n\n").exit_code == 1
    assert ftui("delete", "done", answer="").exit_code == 1
    assert folder.path.is_dir()
    assert json.loads(ftui("delete", "done", "--yes", "--json").stdout)["command"] == "delete"
    assert not folder.path.exists()


def test_train_detached_says_where_and_the_run_goes_on_alone(home: Path, spec_file: Path) -> None:
    done = in_a_process("train", "run.yaml", "--detach", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told == {"run": "support", "path": str(home / "runs" / "support")}
    folder = find("support")
    assert Path(folder.spec().data.train) == spec_file.parent / "data.jsonl"
    # The folder of zeros is no model: the run fails by itself, with a reason.
    assert wait_until(folder, ended).state == "failed"


def test_ctrl_c_ends_the_watching_and_not_the_run(home: Path, make_run: MakeRun) -> None:
    folder = make_run("busy", *_TRAINS)
    # Where the tests themselves run in the background, SIGINT is ignored, and children inherit it.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from tui_ft.cli import main; main()"
    )
    with hold_lock(folder):
        process = subprocess.Popen(
            [sys.executable, "-c", program, "watch"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "busy goes on" in said
    assert "ftui stop busy" in said
    assert not folder.control_file.exists()


def test_a_reader_that_leaves_is_no_error(home: Path, make_run: MakeRun) -> None:
    folder: RunFolder = make_run("long", *(ev.Log(text="x" * 200) for _ in range(3000)), _FINISHED)
    read, write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", "from tui_ft.cli import main; main()", "logs", folder.id],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    os.read(read, 100)
    os.close(read)
    _, said = process.communicate(timeout=120)
    assert (process.returncode, said) == (128 + signal.SIGPIPE, "")


def test_a_run_whose_data_changed_does_not_go_on_by_itself_and_says_what_changed(
    ftui: Ftui, make_run: MakeRun, spec_file: Path
) -> None:
    folder = make_run("later", *_TRAINS, ev.Ended(state="stopped", reason="as asked"))
    data = Path(folder.spec().data.train)
    data.write_text('{"prompt": "say 1", "completion": "1"}\n' * 30)
    checkpoint = folder.checkpoints_dir / "checkpoint-1"
    checkpoint.mkdir(parents=True)
    (checkpoint / "trainer_state.json").write_text("{}")
    record_environment(folder, folder.spec(), take_snapshot(folder.path)).join()
    data.write_text('{"prompt": "say 2", "completion": "2"}\n' * 30)
    refused = ftui("resume", "later")
    assert refused.exit_code == 1
    assert "later does not go on: data.train was " in refused.stderr
    assert "`ftui resume later --anyway`" in refused.stderr
    refused = ftui("resume", "later", "--json")
    assert refused.exit_code == 1
    told = json.loads(refused.stdout)
    assert (told["run"], told["goes_on"]) == ("later", False)
    (change,) = told["changes"]
    assert (change["what"], change["weight"]) == ("data.train", "asks")
    done = in_a_process("resume", "later", "--anyway", "--detach", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["goes_on"], told["changes"]) == (0, True, [change])
    wait_until(folder, ended)


def test_what_a_run_changed_when_memory_ran_out_is_told(ftui: Ftui, make_run: MakeRun) -> None:
    words = "micro-batch 4, accumulation 2"
    changes = {"training.per_device_train_batch_size": (8, 4)}
    rung = ev.Rung(number=1, reason="the GPU ran out of memory", words=words, changes=changes)
    make_run("helped", *_TRAINS, rung, ev.Attempt(number=2, host="h", user="u", pid=1), _FINISHED)
    (row,) = json.loads(ftui("runs", "--json").stdout)
    assert row["rungs"] == [words]
    told = f"the GPU ran out of memory; goes on with {words} (step 1 of its ladder)"
    assert told in ftui("watch", "helped", "--plain").stdout
    events = [json.loads(line) for line in ftui("watch", "helped", "--json").stdout.splitlines()]
    (event,) = [event for event in events if event["type"] == "rung"]
    assert event["changes"] == {"training.per_device_train_batch_size": [8, 4]}


def test_one_folder_that_cannot_be_read_hides_no_other(
    ftui: Ftui, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = make_run("closed", _FINISHED)
    make_run("open", _FINISHED)
    make_run("closed-2", _FINISHED)  # is not meant by the other's name
    whole, access = Path.is_file, os.access

    def is_file(self: Path) -> bool:  # root may read everything
        if self.parent == closed.path:
            raise PermissionError
        return whole(self)

    def may(path: Path, mode: int) -> bool:
        return path != closed.path and access(path, mode)

    monkeypatch.setattr(Path, "is_file", is_file)
    monkeypatch.setattr(os, "access", may)
    listed = ftui("runs", "--json")
    assert [row["id"] for row in json.loads(listed.stdout)] == ["closed-2", "open"]
    assert f"{closed.path} cannot be read" in listed.stderr
    assert f"{closed.path} cannot be read" in ftui("watch", "closed").stderr
    assert ftui("watch", "open").exit_code == 0
