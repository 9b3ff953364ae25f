"""SFT, a reward model on its output, then RLOO with both: a real model through real processes."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import yaml
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM

from tests.chains.conftest import end_conductor, ended, wait_until
from tests.runs.conftest import history_of
from tests.tiny_model import chat_rows, pair_rows, write_rows
from tui_ft import paths
from tui_ft.chains.check import check_chain
from tui_ft.chains.life import absolute, resume, start
from tui_ft.chains.pipelines import PIPELINES
from tui_ft.runs.folder import RunFolder, all_folders
from tui_ft.runs.registry import summary_of
from tui_ft.spec.chain import Chain, load_chain

SMALL = {
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 1,
    "max_length": 64,
    "precision": "fp32",
    "gradient_checkpointing": False,
    "eval_steps": None,
    "save_steps": None,
    "max_steps": 3,
}


def _stages(pipeline: str, model: Path, folder: Path) -> list[dict[str, Any]]:
    """Return the stages of a pipeline, each three steps of four rows."""
    chats = write_rows(folder / "chats.jsonl", chat_rows(40))
    pairs = write_rows(folder / "pairs.jsonl", pair_rows(40))
    data = {one.name: str(chats) for one in PIPELINES[pipeline].stages} | {"reward": str(pairs)}
    stages: list[dict[str, Any]] = yaml.safe_load(
        PIPELINES[pipeline].to_yaml(str(model), data, "tiny")
    )["stages"]
    for stage in stages:
        stage["run"]["training"] = dict(SMALL)
        stage["run"]["hardware"] = {"gpus": "none", "cpu_threads": 1}
        stage["run"]["evaluation"] = {"samples": 0}
    stages[2]["run"]["objective"]["max_completion_length"] = 8
    return stages


def _chain(stages: list[dict[str, Any]], folder: Path) -> Chain:
    file = folder / "tiny.yaml"
    file.write_text(yaml.safe_dump({"name": "tiny", "stages": stages}))
    chain = absolute(load_chain(file), folder)
    assert not any(one.is_refused for one in check_chain(chain))
    return chain


def test_rlhf_from_its_pipeline(home: Path, tiny_llama: Path, tmp_path: Path) -> None:
    stages = _stages("rlhf-rloo", tiny_llama, tmp_path)
    stages[2]["run"]["objective"]["num_generations"] = 2
    chain = _chain(stages, tmp_path)
    status = wait_until(start(chain), ended, 600)
    assert status.state == "finished", status
    assert status.stages[2].takes == ("sft", "reward")

    sft, rloo = (paths.runs_dir() / f"tiny-{name}" for name in ("sft", "rloo"))
    chained = json.loads((rloo / "report.json").read_text())
    assert [one.get("run") for one in chained["bases"]] == [None, "tiny-sft"]
    assert (rloo / "run.yaml").read_text().count(str(paths.runs_dir() / "tiny-reward")) == 1
    ids = torch.arange(8)[None]
    with torch.no_grad():
        bare = AutoModelForCausalLM.from_pretrained(tiny_llama)(ids).logits
        after_sft = AutoPeftModelForCausalLM.from_pretrained(sft / "adapter")(ids).logits
        last = AutoPeftModelForCausalLM.from_pretrained(rloo / "adapter")
        with last.disable_adapter():
            under = last(ids).logits
    assert torch.allclose(under, after_sft, atol=1e-5)
    assert not torch.allclose(under, bare, atol=1e-3)


class Judge:
    """An endpoint that has no opinion; from the third answer on it keeps who asks, until let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        asked = itertools.count(1)
        judge = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if next(asked) > 2:
                    judge.go.wait(900)
                body = json.dumps({"rewards": [None] * len(told["completions"])}).encode()
                with contextlib.suppress(OSError):  # whoever asked was killed
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def reward(self) -> dict[str, Any]:
        """Return it as a run's reward."""
        url = f"http://127.0.0.1:{self.server.server_port}"
        return {"kind": "http", "url": url, "timeout": 900}


@pytest.fixture
def judge() -> Iterator[Judge]:
    judge = Judge()
    yield judge
    judge.go.set()
    judge.server.shutdown()
    judge.server.server_close()


def test_with_grpo_and_ppo_killed_in_the_last_stage_it_goes_on(
    home: Path, tiny_llama: Path, tmp_path: Path, judge: Judge
) -> None:
    """GRPO and PPO each take the model after SFT, and learn from the same reward model."""
    stages = _stages("rlhf-grpo", tiny_llama, tmp_path)
    stages[2]["run"]["objective"]["num_generations"] = 2
    last = _stages("rlhf", tiny_llama, tmp_path)[2]
    last["run"]["objective"] |= {"num_mini_batches": 1, "num_ppo_epochs": 2}
    last["run"]["objective"]["rewards"].append(judge.reward())  # it is held at its fifth step
    last["run"]["training"] |= {"max_steps": 10, "save_steps": 3}
    folder = start(_chain([*stages, last], tmp_path))
    ppo = RunFolder(paths.runs_dir() / "tiny-ppo")
    status = wait_until(folder, lambda one: ended(one) or len(ppo.checkpoints()) > 0, 600)
    assert [one.state for one in status.stages[:3]] == ["finished"] * 3, status
    assert status.is_live, status

    # Nothing of it has a chance to say anything: chain, supervisor and worker.
    end_conductor(folder)
    summary = summary_of(ppo)
    assert summary.pid is not None
    assert summary.worker_pid is not None
    killed = [psutil.Process(pid) for pid in (summary.pid, summary.worker_pid)]
    for process in killed:
        process.kill()
    psutil.wait_procs(killed, 120)
    crashed = wait_until(folder, ended)
    assert crashed.state == "crashed", crashed
    assert [step for step, _ in ppo.checkpoints()] == [3]

    judge.go.set()
    resume(folder)
    status = wait_until(folder, ended, 600)
    assert status.state == "finished", status
    assert [one.run for one in status.stages] == [f"tiny-{one.name}" for one in status.stages]
    assert [one.takes for one in status.stages[2:]] == [("sft", "reward")] * 2
    assert len(all_folders()) == 4  # none of the first three was done twice
    history = history_of(ppo)
    assert history.attempt is not None
    assert (history.attempt.number, history.attempt.step) == (2, 3)
    assert history.series("loss").x == list(range(1, 11))
    scores = history.series("rewards/reward_model/mean")
    assert scores.x == list(range(1, 11, 2))  # a rollout lasts for two steps
    assert len(set(scores.y)) == len(scores.y)
