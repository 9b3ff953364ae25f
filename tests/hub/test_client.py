"""One question to the Hub: the token stays with it, and every trouble is put into words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from tests.hub.conftest import TOKEN, Hub, Mute
from tui_ft.hub import client


def test_the_token_is_not_sent_on_to_another_host(hub: Hub, other_hub: Hub, tmp_path: Path) -> None:
    hub.answers["/api/datasets"] = (302, b"")
    hub.headers["/api/datasets"] = {"location": f"{other_hub.url}/api/datasets"}
    other_hub.answer("/api/datasets", [])
    answer = client.ask("/api/datasets", {}, hub.environment(tmp_path, HF_TOKEN=TOKEN))
    assert isinstance(answer, client.Answer)
    assert answer.body == b"[]"
    assert hub.asked == [("/api/datasets", f"Bearer {TOKEN}")]
    assert other_hub.asked == [("/api/datasets", None)]


def test_the_token_is_sent_on_within_the_host(hub: Hub, tmp_path: Path) -> None:
    hub.answers["/old"] = (307, b"")
    hub.headers["/old"] = {"location": "/new"}
    client.ask("/old", {}, hub.environment(tmp_path, HF_TOKEN=TOKEN))
    assert hub.asked == [("/old", f"Bearer {TOKEN}"), ("/new", f"Bearer {TOKEN}")]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "30"}, 30),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "9" * 50}, 999_999_999),
        ({"ratelimit": '"api";r=0;t=55'}, 55),
        ({}, None),
    ],
)
def test_how_long_to_wait_is_read(
    headers: dict[str, str], seconds: int | None, hub: Hub, tmp_path: Path
) -> None:
    hub.answers["/x"] = (429, b"")
    hub.headers["/x"] = headers
    answer = client.ask("/x", {}, hub.environment(tmp_path))
    assert isinstance(answer, client.Answer)
    assert (answer.status, answer.retry_after) == (429, seconds)


def test_a_date_to_wait_for_becomes_seconds(hub: Hub, tmp_path: Path) -> None:
    then = datetime.now(UTC) + timedelta(hours=1)
    hub.headers["/x"] = {"retry-after": format_datetime(then, usegmt=True)}
    answer = client.ask("/x", {}, hub.environment(tmp_path))
    assert isinstance(answer, client.Answer)
    assert 3_500 < (answer.retry_after or 0) <= 3_600


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (client.Answer(401), "does not accept your token"),
        (client.Answer(403), "refuses (403)"),
        (client.Answer(429, retry_after=30), "try again in 30 s; logged in"),
        (client.Answer(429), "try again later"),
        (client.Answer(503), "is in trouble (it answers 503)"),
        (client.Answer(418), "answers 418, which makes no sense"),
        (client.Silence("x", "ReadTimeout"), "does not answer in 120 s"),
        (client.Silence("x", "ConnectError"), "cannot be reached (ConnectError)"),
    ],
)
def test_every_trouble_says_what_to_do(
    answer: client.Answer | client.Silence, said: str, tmp_path: Path
) -> None:
    assert said in client.complaint(answer, {"HF_HOME": str(tmp_path)})


def test_a_password_in_the_address_is_not_shown() -> None:
    environment = {"HF_ENDPOINT": "https://anna:geheim@mirror.example/hf/"}
    assert client.endpoint(environment) == "https://mirror.example/hf"


@pytest.mark.parametrize("token", ["a\nb", "ä", "a\0b"])
def test_a_token_that_no_header_can_hold_raises_nothing_and_is_not_told(
    token: str, hub: Hub, tmp_path: Path
) -> None:
    answer = client.ask("/x", {}, hub.environment(tmp_path, HF_TOKEN=token))
    assert isinstance(answer, client.Silence)
    assert token not in client.complaint(answer, {"HF_TOKEN": token})


def test_a_hub_that_never_speaks_is_given_up(
    mute: Mute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SECONDS", 0.2)
    environment = {"HF_ENDPOINT": mute.url, "HF_HOME": str(tmp_path)}
    assert client.ask("/x", {}, environment) == client.Silence(mute.url, "ReadTimeout")


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("60", 60.0), (" 2 ", 2.0), ("0", 5.0), ("", 5.0), ("soon", 5.0), ("²", 5.0), ("9" * 9, 5.0)],
)
def test_a_hub_may_be_given_longer(
    given: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SECONDS", 5.0)
    environment = {"HF_HUB_ETAG_TIMEOUT": given}
    assert client.patience(environment) == seconds
    said = client.complaint(client.Silence("x", "ReadTimeout"), environment)
    assert f"does not answer in {seconds:g} s" in said
    assert "give it longer (HF_HUB_ETAG_TIMEOUT=60)" in said


def test_a_hub_that_takes_its_time_is_waited_for(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SECONDS", 0.2)
    hub.answers["/x"] = (200, b"x" * 20)
    hub.dribbling.add("/x")  # for 0.4 s
    answer = client.ask("/x", {}, hub.environment(tmp_path, HF_HUB_ETAG_TIMEOUT="120"))
    assert isinstance(answer, client.Answer)
    assert answer.body == b"x" * 20
