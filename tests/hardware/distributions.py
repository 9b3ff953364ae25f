"""Writes the metadata of installed distributions, as pip does."""

from __future__ import annotations

from pathlib import Path


def install(site: Path, name: str, version: str) -> None:
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def install_torch(site: Path, version: str, version_file: str) -> None:
    install(site, "torch", version)
    (site / "torch").mkdir()
    (site / "torch" / "version.py").write_text(version_file)
