"""Folders: which files are read, and what rows say of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.data_files import (
    read,
    values,
)
from tui_ft.data import DataError, Row, read_rows
from tui_ft.data.files.reading import FolderFiles, folder_files, source_bytes


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('{"a": "%s"}\n' % name)  # noqa: UP031


def names(folder: Path) -> tuple[list[str], list[str]]:
    files = folder_files(folder)
    assert isinstance(files, FolderFiles)
    assert bool(files.reason) == bool(files.left_out)
    return (
        [str(file.relative_to(folder)) for file in files.files],
        [str(file.relative_to(folder)) for file in files.left_out],
    )


def test_a_folder_is_read_by_path_and_rows_say_their_file(tmp_path: Path) -> None:
    make(tmp_path, "b.jsonl", "a/2.jsonl", "a/1.json", ".hidden.jsonl", ".git/x.jsonl")
    make(tmp_path, "dataset_info.json", "state.json", "dataset_dict.json", "LICENSE.txt")
    make(tmp_path, "README.md", "model.bin", "a/cache-0a1b.arrow")
    assert names(tmp_path) == (["a/1.json", "a/2.jsonl", "b.jsonl"], [])
    assert read(tmp_path) == [Row(1, {"a": n}, n) for n in ("a/1.json", "a/2.jsonl", "b.jsonl")]
    sizes = [(tmp_path / n).stat().st_size for n in ("a/1.json", "a/2.jsonl", "b.jsonl")]
    assert source_bytes(tmp_path) == sum(sizes)
    assert source_bytes(tmp_path / "b.jsonl") == sizes[2]
    assert source_bytes(tmp_path / "none") == 0


@pytest.mark.parametrize(
    ("found", "read_are"),
    [
        (["train.jsonl", "test.jsonl", "extra.jsonl"], ["train.jsonl"]),
        (["data/train-00000-of-00001.json", "data/dev-0.json"], ["data/train-00000-of-00001.json"]),
        (["train/0.json", "validation/0.json"], ["train/0.json"]),
        (["my_train.csv", "my_eval.csv"], ["my_train.csv"]),
        (["Training.csv", "VALID.csv"], ["Training.csv"]),
        (["rows.jsonl", "val.jsonl"], ["rows.jsonl"]),
        (["dev.jsonl", "test.jsonl"], ["dev.jsonl", "test.jsonl"]),
        (["train.jsonl", "extra.jsonl"], ["extra.jsonl", "train.jsonl"]),
        (["constrain.jsonl", "contest.jsonl"], ["constrain.jsonl", "contest.jsonl"]),
        (["rows.jsonl", "notes.txt"], ["rows.jsonl"]),
        (["one.txt", "two.md"], ["one.txt", "two.md"]),
        (["train.jsonl", "test.jsonl", "notes.md"], ["train.jsonl"]),
    ],
)
def test_of_several_splits_the_training_one_is_read(
    found: list[str], read_are: list[str], tmp_path: Path
) -> None:
    make(tmp_path, *found)
    files, left_out = names(tmp_path)
    assert files == read_are
    assert sorted(files + left_out) == sorted(found)


def test_why_files_are_left_out_is_said(tmp_path: Path) -> None:
    make(tmp_path, "train.jsonl", "test.jsonl", "extra.jsonl", "notes.md")
    assert folder_files(tmp_path).reason == (
        "read is the training split; left out is test.jsonl; extra.jsonl: of no split by name; "
        "notes.md: text beside files of rows"
    )


def test_several_training_splits_are_named(tmp_path: Path) -> None:
    shards = [f"data/{split}-00000-of-00001.json" for split in ("train_gen", "train_sft", "test")]
    make(tmp_path, *shards)
    assert names(tmp_path) == (shards[:2], shards[2:])
    assert folder_files(tmp_path).reason.startswith(
        "read are several training splits, train_gen, train_sft: give one file to read one; left"
    )


def test_a_file_in_a_folder_that_cannot_be_read_costs_itself(tmp_path: Path) -> None:
    make(tmp_path, "b.jsonl")
    (tmp_path / "a.jsonl").write_text("")
    (tmp_path / "c.parquet").write_text("no")
    (tmp_path / "d.csv").write_text("x,x\n1,2\n")
    found = read(tmp_path)
    assert values(found) == [{"a": "b.jsonl"}]
    assert [(row.line, row.source) for row in found] == [
        (1, "a.jsonl"),
        (1, "b.jsonl"),
        (1, "c.parquet"),
        (1, "d.csv"),
    ]
    (tmp_path / "b.jsonl").unlink()
    (tmp_path / "d.csv").unlink()
    with pytest.raises(DataError, match=r"no file in .* can be read: .*a.jsonl is empty, and so"):
        read_rows(tmp_path)


def test_links_to_files_are_read_and_links_to_folders_are_not(tmp_path: Path) -> None:
    make(tmp_path, "blobs/1", "snapshot/other.jsonl")
    (tmp_path / "snapshot" / "rows.jsonl").symlink_to("../blobs/1")
    (tmp_path / "snapshot" / "again").symlink_to(".")
    (tmp_path / "snapshot" / "gone.jsonl").symlink_to("nothing")
    assert [row["a"] for row in values(read(tmp_path / "snapshot"))] == [
        "snapshot/other.jsonl",
        "blobs/1",
    ]


@pytest.mark.slow
def test_what_datasets_saves_is_read(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    train = Dataset.from_list([{"a": n, "b": [{"c": "é"}]} for n in range(5)])
    DatasetDict({"train": train, "test": train.select([0])}).save_to_disk(str(tmp_path / "saved"))
    assert values(read(tmp_path / "saved")) == list(train)
    train.to_parquet(str(tmp_path / "rows.parquet"))
    assert values(read(tmp_path / "rows.parquet")) == list(train)
