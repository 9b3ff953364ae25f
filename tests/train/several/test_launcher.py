"""What the ranks' ends come to, and what accelerate is told of how a run is spread."""

from __future__ import annotations

import signal
import tempfile
from dataclasses import make_dataclass
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
import torch
import torch.distributed as dist
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from tui_ft.runs import events as ev
from tui_ft.runs.link import WorkerLink
from tui_ft.spec.distributed import DdpStrategy, DeepSpeedStrategy, FsdpStrategy
from tui_ft.spec.run_spec import HardwareSpec
from tui_ft.train.errors import RunFailure, RunStopped
from tui_ft.train.precision import Precision
from tui_ft.train.several import launcher, spread
from tui_ft.train.several.launcher import Launch, how_it_ended, patience_of
from tui_ft.train.several.together import ALONE, MEETING, Ranks, lost_a_peer

BF16 = Precision("bf16", torch.bfloat16)
FP32 = Precision("fp32", torch.float32)


def _launch(tmp_path: Path, gpus: tuple[int, ...] = ()) -> Launch:
    (tmp_path / "events.jsonl").touch()
    return Launch(tmp_path, gpus, 2, None)


def _failure(tmp_path: Path, rank: int, exit_code: int) -> tuple[int, ProcessFailure]:
    return rank, ProcessFailure(rank, 4242, exit_code, str(tmp_path / "none.json"))


def _ended(state: Any, reason: str, t: float) -> ev.Ended:
    return ev.Ended(state=state, reason=reason, t=t)


def test_a_run_ends_as_its_first_rank_does(tmp_path: Path) -> None:
    ended = {0: _ended("finished", "all steps done", 2.0), 1: _ended("finished", "x", 1.0)}
    assert how_it_ended(_launch(tmp_path), ended, None).reason == "all steps done"


def test_the_rank_that_failed_first_says_why(tmp_path: Path) -> None:
    ended = {
        0: _ended("failed", "something that followed", 9.0),
        1: _ended("failed", "rank 1 of 2: the GPU ran out of memory", 5.0),
    }
    found = how_it_ended(_launch(tmp_path), ended, _failure(tmp_path, 0, 1))
    assert found.reason == "rank 1 of 2: the GPU ran out of memory"


def test_a_rank_that_died_without_a_word_is_named_with_its_gpu(tmp_path: Path) -> None:
    found = how_it_ended(_launch(tmp_path, (4, 7)), {}, _failure(tmp_path, 1, -9))
    assert found.state == "crashed"
    assert found.reason.startswith("rank 1 of 2, on GPU 7, was killed by signal 9 (SIGKILL)")
    other = how_it_ended(_launch(tmp_path), {}, _failure(tmp_path, 0, 3))
    assert other.reason == "rank 0 of 2 ended with exit code 3 and no reason"


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer [127.0.0.1]"), True),
        (dist.DistBackendError("NCCL communicator was aborted on rank 1"), True),
        (RuntimeError("shapes do not match"), False),
        (torch.OutOfMemoryError("CUDA out of memory."), False),
        (ConnectionResetError("Connection reset by peer"), False),  # the Hub's, not a rank's
    ],
)
def test_an_error_that_only_tells_of_another_rank_is_known(error: Exception, lost: bool) -> None:
    assert lost_a_peer(error) is lost


def test_alone_nobody_has_to_be_asked() -> None:
    assert ALONE.any(True, False) == (True, False)
    assert ALONE.all(True)
    assert ALONE.largest(3, None) == (3, None)
    assert ALONE.answer(lambda: 7) == 7
    assert ALONE.from_first("data") == "data"

    def stop() -> None:
        raise RunStopped

    with pytest.raises(RunStopped):
        ALONE.answer(stop)


@pytest.mark.parametrize(
    ("strategy", "shares"),
    [(None, False), (DdpStrategy(), False), (FsdpStrategy(), True), (DeepSpeedStrategy(), True),
     (DeepSpeedStrategy(zero_stage=2), False)],
)  # fmt: skip
def test_who_takes_part_in_an_answer(strategy: Any, shares: bool) -> None:
    second = Ranks(1, 2, strategy)
    assert (second.shares_weights, second.answers) == (shares, shares)
    assert Ranks(0, 2, strategy).answers


def test_fsdp_is_told_in_accelerates_words() -> None:
    strategy = FsdpStrategy(cpu_offload=True, extra={"forward_prefetch": True})
    arguments = spread.fsdp_arguments(strategy, BF16)
    policy = arguments["mixed_precision_policy"]
    assert (policy.param_dtype, policy.reduce_dtype) == (torch.bfloat16, torch.float32)
    assert arguments["fsdp_version"] == 2
    assert arguments["cpu_offload"] is True
    assert arguments["forward_prefetch"] is True
    assert "mixed_precision_policy" not in spread.fsdp_arguments(FsdpStrategy(), FP32)


@pytest.mark.parametrize(
    ("extra", "said"),
    [({"backward_prefech": 1}, "no such argument"), ({"cpu_offload": True}, "sets this itself"),
     ({"activation_checkpointing": True}, "sets this itself")],
)  # fmt: skip
def test_an_extra_that_accelerate_does_not_take_is_refused(
    extra: dict[str, Any], said: str
) -> None:
    with pytest.raises(RunFailure, match=said):
        spread.fsdp_arguments(FsdpStrategy(extra=extra), FP32)
    with pytest.raises(RunFailure, match="no such argument"):
        spread.ddp_arguments(DdpStrategy(extra={"bucket": 1}))


def test_deepspeed_that_is_not_there_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread, "has_deepspeed", lambda: False)
    with pytest.raises(RunFailure, match="DeepSpeed is not installed"):
        spread.trainer_arguments(Ranks(0, 2, DeepSpeedStrategy()))


def test_deepspeed_is_told_by_accelerates_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread, "has_deepspeed", lambda: True)
    strategy = DeepSpeedStrategy(offload_optimizer_device="cpu")
    config = spread.trainer_arguments(Ranks(0, 2, strategy))["deepspeed"]
    zero = config["zero_optimization"]
    assert (zero["stage"], zero["offload_optimizer"]["device"]) == (3, "cpu")
    assert zero["stage3_gather_16bit_weights_on_model_save"] is True
    assert config["gradient_clipping"] == config["train_batch_size"] == "auto"


def test_a_launcher_that_takes_no_patience_is_given_none() -> None:
    """torch 2.11 has no such argument."""
    assert patience_of(make_dataclass("Old", ["nproc_per_node"])) == {}
    assert patience_of(make_dataclass("New", ["shutdown_timeout"])) == {"shutdown_timeout": 20}


def test_a_signal_leaves_nothing_in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "GLOO_SOCKET_IFNAME", MEETING):
        monkeypatch.setenv(name, "")  # each is put back in the end
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "")
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    died: list[tuple[int, list[Path]]] = []

    def ended(*_: object) -> NoReturn:
        assert list(scratch.iterdir())
        raise SignalException("ended", signal.SIGTERM)

    def die(number: int) -> NoReturn:
        died.append((number, list(scratch.iterdir())))
        raise SystemExit

    monkeypatch.setattr(launcher, "elastic_launch", lambda *_: ended)
    monkeypatch.setattr(launcher, "_die_of", die)
    _, events = Pipe(duplex=False)
    commands, _there = Pipe(duplex=False)
    spec: Any = SimpleNamespace(hardware=HardwareSpec())
    with pytest.raises(SystemExit):
        launcher.launch(_launch(tmp_path), spec, WorkerLink(events, commands))
    assert died == [(signal.SIGTERM, [])]
