"""Rewards from an HTTP endpoint: a real server, slow, broken, or talking nonsense."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.train.rewards.asking import ask, make_reward
from tui_ft.train.errors import RunFailure
from tui_ft.train.rewards.http import Endpoint


@dataclass
class Server:
    """A local endpoint; what it answers is set by tests.

    Attributes:
        answers: status and body of the next answers, in order; the last one is given again.
        asked: bodies and headers of the requests so far.
        hangs: whether it answers no more before the test ends.
        between: seconds before each byte of an answer.
    """

    url: str = ""
    answers: list[tuple[int, str]] = field(default_factory=list)
    asked: list[tuple[Any, dict[str, str]]] = field(default_factory=list)
    hangs: bool = False
    between: float = 0.0


@pytest.fixture
def server() -> Iterator[Server]:
    told, over = Server(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.asked.append((body, dict(self.headers)))
            if told.hangs:
                over.wait(600)
                return
            status, said = told.answers.pop(0) if len(told.answers) > 1 else told.answers[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(said.encode())))
            self.end_headers()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it waits no longer
                for byte in said if told.between else [said]:
                    over.wait(told.between)
                    self.wfile.write(byte.encode())

        def log_message(self, *_: Any) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=lambda: listening.serve_forever(poll_interval=0.01))
    thread.start()
    told.url = f"http://127.0.0.1:{listening.server_port}/score"
    yield told
    over.set()
    listening.shutdown()
    listening.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Wait for nothing; keep what would have been waited."""
    waited: list[float] = []
    init = Endpoint.__init__
    monkeypatch.setattr(
        Endpoint,
        "__init__",
        lambda self, reward, note: init(self, reward, note, waited.append),
    )
    return waited


def test_it_is_sent_what_was_asked_and_answered(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_TOKEN", "Bearer secret")
    server.answers = [(200, '{"rewards": [0.5, null, 2]}')]
    reward = {
        "kind": "http",
        "url": server.url,
        "headers_from_env": {"Authorization": "JUDGE_TOKEN"},
        "columns": ["level"],
    }
    levels = {"level": ["easy", "hard", None], "secret_column": [1, 2, 3]}
    assert ask(reward, ["a", "b", "c"], "42", **levels) == [0.5, None, 2.0]
    ((body, headers),) = server.asked
    assert body["completions"] == ["a", "b", "c"]
    assert body["prompts"][0] == [{"role": "user", "content": "What is 6 x 7?"}]
    assert body["references"] == ["42"] * 3
    assert body["columns"] == {"level": ["easy", "hard", None]}
    assert headers["Authorization"] == "Bearer secret"


def test_answers_go_in_batches_and_come_back_in_order(server: Server) -> None:
    server.answers = [(200, "[1, 2]"), (200, "[3, 4]"), (200, "[5]")]
    assert ask({"kind": "http", "url": server.url, "batch_size": 2}, list("abcde")) == [
        1.0, 2.0, 3.0, 4.0, 5.0,
    ]  # fmt: skip
    assert [body["completions"] for body, _ in server.asked] == [["a", "b"], ["c", "d"], ["e"]]


def test_it_is_asked_again_with_longer_and_longer_pauses(
    server: Server, pauses: list[float]
) -> None:
    server.answers = [(500, "oops"), (429, "slowly"), (503, ""), (200, "[1]")]
    assert ask({"kind": "http", "url": server.url}, ["a"]) == [1.0]
    assert pauses == [0.5, 1.0, 2.0]


@pytest.mark.parametrize(
    ("status", "said", "reason", "asked"),
    [
        (500, "the database\nis gone", "answered 500: the database is gone (asked 2 times)", 2),
        (404, "", "answered 404: nothing", 1),
        (302, "", "answered 302", 1),
        (200, "<html>\x1b[31mhello", "answered no JSON: <html>", 1),
        (200, '{"scores": [1]}', "answered no list of rewards", 1),
        (200, "[1, 2, 3]", "answered 3 rewards for 2 answers", 1),
        (200, '[1, "good"]', "answered 'good', where a number or null belongs", 1),
        (200, "[1, true]", "answered True, where", 1),
        (200, "[1, NaN]", "answered no JSON", 1),
    ],
)
def test_a_bad_answer_ends_the_run_with_its_reason(
    server: Server, status: int, said: str, reason: str, asked: int
) -> None:
    server.answers = [(status, said)]
    with pytest.raises(RunFailure) as caught:
        ask({"kind": "http", "url": server.url, "retries": 1}, ["a", "b"])
    assert reason in caught.value.reason
    assert "127.0.0.1" in caught.value.reason
    assert "\x1b" not in caught.value.reason
    assert len(server.asked) == asked
    assert "on_failure to skip" in caught.value.advice[1]


def test_one_that_is_too_slow_or_not_there(server: Server) -> None:
    server.hangs = True
    slow = {"kind": "http", "url": server.url, "timeout": 0.05, "retries": 0}
    with pytest.raises(RunFailure, match=r"did not answer within 0\.05 s$"):
        ask(slow, ["a"])
    gone = {"kind": "http", "url": "http://127.0.0.1:9/score", "retries": 2}
    with pytest.raises(RunFailure, match=r"cannot be reached: .*\(asked 3 times\)"):
        ask(gone, ["a"])


def test_an_answer_that_comes_byte_by_byte_has_no_more_time_than_one_that_does_not_come(
    server: Server,
) -> None:
    server.answers, server.between = [(200, " " * 50 + "[1]")], 0.04
    slow = {"kind": "http", "url": server.url, "timeout": 0.2, "retries": 0}
    with pytest.raises(RunFailure, match=r"did not answer within 0\.2 s$"):
        ask(slow, ["a"])


def test_when_it_may_be_skipped_a_note_says_so_once(server: Server) -> None:
    server.answers = [(200, "[1]"), (400, "no"), (400, "no"), (200, "[4]")]
    notes: list[str] = []
    reward = make_reward(
        {"kind": "http", "url": server.url, "batch_size": 1, "on_failure": "skip"}, notes=notes
    )
    assert ask(reward, list("abcd")) == [1.0, None, None, 4.0]
    assert len(notes) == 1
    assert "answered 400: no; these answers go without this reward" in notes[0]


def test_a_header_whose_variable_is_not_set_is_known_before_anything_is_sent(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JUDGE_TOKEN", raising=False)
    headers = {"X-Key": "JUDGE_TOKEN"}
    with pytest.raises(RunFailure, match="environment variable JUDGE_TOKEN, which is not set"):
        make_reward({"kind": "http", "url": server.url, "headers_from_env": headers})
    assert not server.asked


@pytest.mark.parametrize("value", ["secret\r\nX-Other: 1", "sécret", "sec\tret"])
def test_what_no_header_can_hold_is_refused_without_being_shown(
    server: Server, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("JUDGE_TOKEN", value)
    headers = {"Authorization": "JUDGE_TOKEN"}
    with pytest.raises(RunFailure, match="JUDGE_TOKEN holds a character") as caught:
        make_reward({"kind": "http", "url": server.url, "headers_from_env": headers})
    assert "ret" not in caught.value.reason
    monkeypatch.setenv("JUDGE_TOKEN", "secret\r\n")
    server.answers = [(200, "[1]")]
    assert ask({"kind": "http", "url": server.url, "headers_from_env": headers}, ["a"]) == [1.0]
    assert server.asked[0][1]["Authorization"] == "secret"
