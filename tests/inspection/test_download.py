"""Data sets are fetched by the real `datasets`, from a local server that answers as the Hub."""

from __future__ import annotations

import io
import json
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from pyarrow import parquet

from tests.inspection.data_hub import COMMIT, DataHub, Repository
from tests.runs.conftest import ROOT
from tui_ft.data import DataError, read_rows
from tui_ft.data.files.hub_download import Cancelled, Progress, fetch_dataset, fetched
from tui_ft.data.files.rows import Row

TOKEN = "hf_secret"
CARD = """---
configs:
- config_name: en
  data_files:
  - split: train
    path: en.jsonl
  - split: held_out
    path: more.jsonl
- config_name: fr
  data_files: fr.jsonl
---
"""


@pytest.fixture
def hub() -> Iterator[DataHub]:
    hub = DataHub()
    yield hub
    hub.close()


@pytest.fixture
def environment(hub: DataHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("FTUI_HOME", str(tmp_path / "home"))
    unset = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_CACHE", "HF_DATASETS_CACHE")
    return {
        **{name: value for name, value in os.environ.items() if name not in unset},
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_XET": "1",
        "PYTHONPATH": str(ROOT),
    }


def _jsonl(*rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    return buffer.getvalue()


def _values(path: Path) -> list[dict[str, Any]]:
    return [row.values for row in read_rows(path) if isinstance(row, Row)]


def _process(
    environment: dict[str, str], *arguments: str, largest_file: int | None = None
) -> subprocess.Popen[bytes]:
    def limit() -> None:
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    return subprocess.Popen(
        [sys.executable, "-P", "-m", "tui_ft.inspection.download", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=limit,  # noqa: PLW1509 - it takes no lock
    )


def test_a_split_arrives_whole_private_and_with_its_record(
    hub: DataHub, environment: dict[str, str], tmp_path: Path
) -> None:
    rows = [{"prompt": f"{n}?", "completion": "é\u2028"} for n in range(5_000)]
    hub.repositories["org/qa"] = Repository(
        {"train.jsonl": _jsonl(*rows), "test.jsonl": _jsonl(rows[0])}
    )
    path = fetch_dataset("org/qa", environ=environment)
    assert _values(path) == rows
    assert path.is_relative_to(tmp_path / "home" / "datasets" / "org--qa")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    record = fetched(path)
    assert record is not None
    assert (record.rows, record.split, record.commit) == (5_000, "train", COMMIT)
    assert record.others == ("test",)
    assert "the split `train` was taken; others are test" in record.notes
    assert f"Bearer {TOKEN}" in hub.tokens
    assert TOKEN not in (path.parent / ".download.json").read_text()


def test_messages_of_mixed_types_arrive_as_objects_and_not_as_text(
    hub: DataHub, environment: dict[str, str]
) -> None:
    calls = [{"name": "f", "arguments": {"a": 1}}]
    rows = [
        {"messages": [{"role": "assistant", "content": None, "tool_calls": calls}]},
        {"messages": [{"role": "user", "content": ["x", 1]}, {"role": "user", "content": "y"}]},
    ]
    hub.repositories["org/chat"] = Repository({"train.jsonl": _jsonl(*rows)})
    assert _values(fetch_dataset("org/chat", environ=environment)) == rows


def test_classes_arrive_by_name_and_pictures_as_notes(
    hub: DataHub, environment: dict[str, str]
) -> None:
    features = {
        "image": {"_type": "Image"},
        "label": {"names": ["neg", "pos"], "_type": "ClassLabel"},
        "tags": {"feature": {"names": ["a", "b"], "_type": "ClassLabel"}, "_type": "List"},
    }
    table = pa.table(
        {
            "image": [{"bytes": b"\x89PNG\xff" * 10, "path": "a.png"}, None],
            "label": [1, -1],
            "tags": [[0, 1, None], None],
        }
    ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    hub.repositories["org/pics"] = Repository({"data/train-0.parquet": _parquet(table)})
    path = fetch_dataset("org/pics", environ=environment)
    assert _values(path) == [
        {"image": "<image, a.png, 50 bytes>", "label": "pos", "tags": ["a", "b", None]},
        {"image": None, "label": None, "tags": None},
    ]
    record = fetched(path)
    assert record is not None
    assert any("a note instead of each image" in note for note in record.notes)


def test_the_only_split_is_taken_whatever_its_name(
    hub: DataHub, environment: dict[str, str]
) -> None:
    hub.repositories["org/one"] = Repository({"test.jsonl": _jsonl({"a": 1})})
    record = fetched(fetch_dataset("org/one", environ=environment))
    assert record is not None
    assert record.split == "test"


def test_a_config_and_a_split_that_are_asked_for(hub: DataHub, environment: dict[str, str]) -> None:
    hub.repositories["org/many"] = _many()
    path = fetch_dataset("org/many", config="en", split="held_out", environ=environment)
    assert _values(path) == [{"a": 2}]


def _many() -> Repository:
    files = {"en.jsonl": _jsonl({"a": 1}), "more.jsonl": _jsonl({"a": 2})}
    return Repository({**files, "README.md": CARD.encode(), "fr.jsonl": _jsonl({"a": 3})})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"id": "org/none"}, "does not exist, or is private"),
        ({"id": "org/gated"}, "/datasets/org/gated, then log in"),
        ({"id": "org/script"}, "is made by a script (script.py)"),
        ({"id": "org/empty"}, "holds no data files"),
        ({"id": "org/many"}, "none of them is the default; it has en, fr: choose one with"),
        ({"id": "org/many", "config": "xx"}, "has no config `xx`; it has en, fr"),
        ({"id": "org/many", "config": "en", "split": "x"}, "no split `x`; it has train, held_out"),
        ({"id": "org/many", "revision": "v9"}, "has no revision `v9`"),
        ({"id": "org/bad"}, "the files of org/bad cannot be read: JSON parse error"),
        ({"id": "org/mixed"}, "do not have the same columns"),
        ({"id": "../etc"}, "is no data set's id"),
    ],
)
def test_what_cannot_be_had_says_why_and_leaves_nothing(
    arguments: dict[str, str], said: str, hub: DataHub, environment: dict[str, str], tmp_path: Path
) -> None:
    hub.repositories |= {
        "org/gated": Repository({"train.jsonl": _jsonl({"a": 1})}, gated=True),
        "org/script": Repository({"script.py": b"import os", "train.jsonl": b""}),
        "org/empty": Repository({"README.md": b""}),
        "org/many": _many(),
        "org/bad": Repository({"train.jsonl": b'{"a": 1}\n{"a":\n'}),
        "org/mixed": Repository({"train-1.csv": b"a,b\n1,2\n", "train-2.csv": b"a,c\n1,2\n"}),
    }
    with pytest.raises(DataError) as refusal:
        fetch_dataset(**arguments, to=tmp_path / "to", environ=environment)  # type: ignore[arg-type]
    assert said in str(refusal.value)
    assert TOKEN not in str(refusal.value)
    assert not (tmp_path / "to").exists()


def test_the_hubs_conversion_keeps_configs_apart(hub: DataHub, environment: dict[str, str]) -> None:
    files = {
        f"{config}/{split}/0000.parquet": _parquet(pa.table({"is": [f"{config} {split}"]}))
        for config, split in (("en", "train"), ("fr", "train"), ("fr", "held_out"))
    }
    hub.repositories["org/conv"] = Repository(files)
    branch = "refs/convert/parquet"
    path = fetch_dataset("org/conv", config="fr", revision=branch, environ=environment)
    assert _values(path) == [{"is": "fr train"}]
    with pytest.raises(DataError, match="it has en, fr"):
        fetch_dataset("org/conv", revision=branch, environ=environment)


def test_what_is_here_is_not_fetched_again_and_a_new_commit_is(
    hub: DataHub, environment: dict[str, str]
) -> None:
    hub.repositories["org/qa"] = Repository({"train.jsonl": _jsonl({"a": 1})})
    first = fetch_dataset("org/qa", environ=environment)
    hub.asked.clear()
    assert fetch_dataset("org/qa", environ=environment) == first
    assert hub.asked == ["GET api/datasets/org/qa"]
    hub.repositories["org/qa"] = Repository({"train.jsonl": _jsonl({"a": 2})}, commit="f" * 40)
    second = fetch_dataset("org/qa", environ=environment)
    assert (_values(first), _values(second)) == ([{"a": 1}], [{"a": 2}])
    offline = {**environment, "HF_HUB_OFFLINE": "1"}
    assert fetch_dataset("org/qa", environ=offline) == second


def test_offline_the_cache_is_read_and_only_at_the_revision_asked_for(
    hub: DataHub, environment: dict[str, str], tmp_path: Path
) -> None:
    hub.repositories["org/qa"] = Repository({"train.jsonl": _jsonl({"a": 1})})
    fetch_dataset("org/qa", to=tmp_path / "first", environ=environment)
    offline = {**environment, "HF_HUB_OFFLINE": "1"}
    path = fetch_dataset("org/qa", to=tmp_path / "second", environ=offline)
    assert _values(path) == [{"a": 1}]
    record = fetched(path)
    assert record is not None
    assert "this is what the cache holds" in record.notes[0]
    for name, revision in (("org/qa", "v2"), ("org/other", None)):
        with pytest.raises(DataError, match="is not in the cache"):
            fetch_dataset(name, revision=revision, environ=offline)


def test_without_a_hub_the_cache_is_read_at_once(
    hub: DataHub, environment: dict[str, str], tmp_path: Path
) -> None:
    hub.repositories["org/qa"] = Repository({"train.jsonl": _jsonl({"a": 1})})
    fetch_dataset("org/qa", to=tmp_path / "first", environ=environment)
    alone = {**environment, "HF_ENDPOINT": "http://127.0.0.1:1"}
    path = fetch_dataset("org/qa", to=tmp_path / "second", environ=alone)
    assert _values(path) == [{"a": 1}]


def test_a_connection_that_is_lost_is_told(
    hub: DataHub, environment: dict[str, str], tmp_path: Path
) -> None:
    content = _jsonl(*({"a": n} for n in range(1_000)))
    hub.repositories["org/cut"] = Repository({"train.jsonl": content}, cut_off={"train.jsonl"})
    with pytest.raises(DataError, match=r"connection to the Hub was lost.*start it again"):
        fetch_dataset("org/cut", to=tmp_path / "to", environ=environment)
    assert not (tmp_path / "to").exists()


def test_a_full_disk_leaves_nothing_half_written(
    hub: DataHub, environment: dict[str, str], tmp_path: Path
) -> None:
    rows = [{"text": f"{n} " + "x" * 500} for n in range(2_000)]
    hub.repositories["org/big"] = Repository(
        {"train.parquet": _parquet(pa.Table.from_pylist(rows))}
    )
    for largest in (100_000, None, 500_000):  # of the cache's tables; of none; of the rows
        to = tmp_path / f"to-{largest}"
        with _process(environment, "org/big", "--to", str(to), largest_file=largest) as process:
            out, _ = process.communicate(timeout=120)
        end = json.loads(out.splitlines()[-1])
        if largest is None:
            assert end["type"] == "done"
            continue
        assert end["type"] == "failed", end
        assert "the disk is full" in end["reason"]
        assert process.returncode == 1
        assert not to.exists()


def _slow(hub: DataHub) -> None:
    content = _jsonl(*({"a": n} for n in range(10_000)))
    hub.repositories["org/slow"] = Repository({"train.jsonl": content}, slow={"train.jsonl"})


def test_a_download_that_is_cancelled_ends_and_leaves_nothing(
    hub: DataHub, environment: dict[str, str], tmp_path: Path
) -> None:
    _slow(hub)
    seen: list[Progress] = []
    with pytest.raises(Cancelled):
        fetch_dataset(
            "org/slow",
            to=tmp_path / "to",
            progress=seen.append,
            cancelled=lambda: len(seen) > 1,
            environ=environment,
        )
    assert [said.what for said in seen[:2]] == ["asks for org/slow", "fetches org/slow"]
    assert seen[1].total == len(hub.repositories["org/slow"].files["train.jsonl"])
    assert not (tmp_path / "to").exists()


def test_a_download_that_nobody_listens_to_ends(
    hub: DataHub, environment: dict[str, str], tmp_path: Path
) -> None:
    _slow(hub)
    process = _process(environment, "org/slow", "--to", str(tmp_path / "to"))
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(120) != 0
    assert not (tmp_path / "to").exists()


def test_what_a_killed_download_left_is_removed_by_the_next(
    hub: DataHub, environment: dict[str, str], tmp_path: Path
) -> None:
    hub.repositories["org/qa"] = Repository({"train.jsonl": _jsonl({"a": 1})})
    to = tmp_path / "to"
    to.mkdir()
    (to / ".rows-123").write_text("half")
    fetch_dataset("org/qa", to=to, environ=environment)
    assert sorted(path.name for path in to.iterdir()) == [".download.json", "rows.jsonl"]


def test_rows_of_somebody_else_are_not_replaced(
    hub: DataHub, environment: dict[str, str], tmp_path: Path
) -> None:
    hub.repositories["org/qa"] = Repository({"train.jsonl": _jsonl({"a": 1})})
    (tmp_path / "rows.jsonl").write_text("mine")
    with pytest.raises(DataError, match="was not downloaded by ftui"):
        fetch_dataset("org/qa", to=tmp_path, environ=environment)
    assert (tmp_path / "rows.jsonl").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_told(
    hub: DataHub, environment: dict[str, str], tmp_path: Path
) -> None:
    hub.repositories["org/qa"] = Repository({"train.jsonl": _jsonl({"a": 1})})
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="Not a directory"):
        fetch_dataset("org/qa", to=tmp_path / "file" / "to", environ=environment)


def test_folders_named_as_the_library_or_the_data_set_do_no_harm(
    hub: DataHub, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories["org/qa"] = Repository({"train.jsonl": _jsonl({"a": 1})})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "__init__.py").write_text("raise RuntimeError")
    (tmp_path / "org" / "qa").mkdir(parents=True)
    (tmp_path / "org" / "qa" / "train.jsonl").write_bytes(_jsonl({"a": "another"}))
    path = fetch_dataset("org/qa", to=tmp_path / "to", environ=environment)
    assert _values(path) == [{"a": 1}]
