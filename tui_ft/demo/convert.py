"""A process: read a GGUF model once and write it as safetensors, which everything else loads.

Only weights that were quantised for size are read, so they are held in float32 to be no worse.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path


def convert(source: Path, target: Path) -> None:
    """Write the GGUF model in the file ``source``, and its tokenizer, to the folder ``target``.

    It is written beside and renamed when whole, so that a broken conversion leaves nothing behind.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    _remove_left_behind(target)
    unfinished = target.with_name(f".{target.name}.unfinished-{os.getpid()}")
    _tell("reads the tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    _tell("reads and unpacks the weights")
    model = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, dtype=torch.float32
    )
    # The weights are plain again: without this they would be taken for a quantised model's.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    _tell("writes safetensors")
    try:
        model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        if not target.exists():
            unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _remove_left_behind(target: Path) -> None:
    """Remove what conversions that were killed had written."""
    for folder in target.parent.glob(f".{target.name}.unfinished-*"):
        pid = folder.name.rpartition("-")[2]
        if not Path("/proc", pid).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _tell(stage: str) -> None:
    print(stage, flush=True)  # noqa: T201 - read line by line by the process that waits


def main() -> int:
    """Convert; every stage is a line on stdout."""
    parser = argparse.ArgumentParser(prog="python -m tui_ft.demo.convert")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.umask(0o077)
    convert(options.source, options.target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
