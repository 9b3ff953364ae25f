"""`python -m benchmarks.bench_zero OUT.md [DEEPSPEED]`: ZeRO beside DeepSpeed's own estimators.

DEEPSPEED is the folder `deepspeed/runtime/zero` of its sources: its two functions are taken out of
there and called, for importing DeepSpeed asks for torch with an accelerator. They estimate model
states alone; here they stand beside the same terms of the closed form, and all of it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from tui_ft.memory.estimate import Sharding, estimate
from tui_ft.memory.estimate.model import model_of
from tui_ft.memory.estimate.offload import host_of, loaded_in_host
from tui_ft.memory.figure import Figure
from tui_ft.memory.step import Step
from tui_ft.models.catalogue import catalogue

_GIB: Final = 1 << 30
_MODELS: Final = {
    "Llama-2-7b": "meta-llama/llama-2-7b-hf",
    "Llama-2-13b": "meta-llama/llama-2-13b-hf",
    "Llama-2-70b": "meta-llama/llama-2-70b-hf",
}
_GPUS: Final = (1, 4, 8)
_STATES: Final = ("weights", "float32 weights", "optimizer states", "gradients")
_OFFLOAD: Final = {"": (False, False), "optimizer": (True, False), "all": (True, True)}


def main() -> None:
    """Write the table."""
    out, sources = Path(sys.argv[1]), Path(sys.argv[2])
    second = _function(sources / "stage_1_and_2.py", "estimate_zero2_model_states_mem_needs")
    third = _function(sources / "stage3.py", "estimate_zero3_model_states_mem_needs")
    out.write_text("\n".join(_lines(second, third)) + "\n")


def _function(file: Path, name: str) -> Callable[..., Any]:
    """Return a function of a module that is not imported."""
    tree = ast.parse(file.read_text())
    found = next(one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == name)
    inside: dict[str, Any] = {}
    code = compile(ast.Module([found], []), str(file), "exec")
    exec(code, inside)
    return inside[name]  # type: ignore[no-any-return]


def _lines(second: Callable[..., Any], third: Callable[..., Any]) -> Iterator[str]:
    yield (
        "| model | ZeRO | offload | GPUs | theirs: GPU | ours: states | ours: all | theirs: host "
        "| ours: host held | ours: loading |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for name, known in _MODELS.items():
        step = Step(
            config=dict(catalogue()[known].config),
            batch=1,
            length=2048,
            weights="float32",
            arithmetic="bfloat16",
            checkpointing=True,
            optim="adamw_torch",
        )
        model = model_of(step)
        parameters = model.architecture.parameters
        layer = model.sizes.largest // 4
        for stage in (1, 2, 3):
            for offload, (states, weights) in _OFFLOAD.items():
                if weights and stage < 3:
                    continue
                for gpus in _GPUS:
                    kind: Any = f"zero{stage}"
                    sharding = Sharding(
                        kind=kind,
                        gpus=gpus,
                        offloads_states=states,
                        offloads_weights=weights,
                    )
                    theirs = _theirs(second, third, stage, parameters, layer, gpus, offload)
                    yield _row(name, stage, offload, gpus, theirs, step, sharding)


def _theirs(
    second: Callable[..., Any],
    third: Callable[..., Any],
    stage: int,
    parameters: int,
    layer: int,
    gpus: int,
    offload: str,
) -> tuple[int, int] | None:
    """Return (host, GPU) bytes of DeepSpeed's estimator; None for stage 1, of which it has none."""
    if stage == 1:
        return None
    common = {"num_gpus_per_node": gpus, "num_nodes": 1, "cpu_offload": bool(offload)}
    if stage == 2:
        host, gpu = second(parameters, **common)
        return host, gpu
    host, gpu, _ = third(
        parameters, layer, **common, cpu_offload_params=offload == "all", zero_init=False
    )
    return host, gpu


def _row(
    name: str,
    stage: int,
    offload: str,
    gpus: int,
    theirs: tuple[int, int] | None,
    step: Step,
    sharding: Sharding,
) -> str:
    figure = estimate(step, sharding=sharding)
    assert isinstance(figure, Figure)
    states = sum(term.size for term in figure.terms if term.name in _STATES)
    host = host_of(step, sharding).held
    loading = loaded_in_host(step, sharding)
    cells = [
        name,
        str(stage),
        offload or "none",
        str(gpus),
        "n/a" if theirs is None else f"{theirs[1] / _GIB:.1f}",
        f"{states / _GIB:.1f}",
        f"{figure.expected / _GIB:.1f}",
        "n/a" if theirs is None else f"{theirs[0] / _GIB:.0f}",
        f"{host / _GIB:.0f}",
        f"{loading / _GIB:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
