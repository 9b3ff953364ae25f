"""What can be known to go wrong in a chain before anything starts, stage by stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tui_ft.runs.checks.checking import findings
from tui_ft.runs.checks.finding import Finding
from tui_ft.runs.checks.preflight import refusal
from tui_ft.runs.folder import RunError
from tui_ft.spec import RunSpec
from tui_ft.spec.chain import MODEL, Chain, Stage

_HELD: Final = ("bits", "bnb_4bit_quant_type", "bnb_4bit_use_double_quant")
"""How the base is held, which is no part of an adapter."""


@dataclass(frozen=True, slots=True)
class StageFindings:
    """What was found of a stage."""

    stage: str
    findings: tuple[Finding, ...]

    @property
    def is_refused(self) -> bool:
        """Whether its run would not be started."""
        return refusal(self.findings) is not None

    @property
    def is_warned(self) -> bool:
        """Whether there is something to be seen before its run is started."""
        return any(one.severity == "warning" for one in self.findings)


def check_chain(chain: Chain, *, memory: bool = False) -> list[StageFindings]:
    """Return what is found of each stage. Never raises.

    A stage that begins with an earlier one's output is looked at as if it began with the model
    that the chain of models begins with: of the same size, and the same to its data.

    Args:
        chain: with absolute paths.
        memory: replay a step of each stage too; takes some seconds for each.
    """
    return [StageFindings(stage.name, _of(chain, stage, memory)) for stage in chain.stages]


def as_run(chain: Chain, stage: Stage) -> RunSpec:
    """Return a stage as the run that can be looked at before the others have run.

    Where it trains the adapter of an earlier stage further, its method is what that one's will be.
    """
    run = chain.filled(stage, lambda name: chain.first_model(chain.stage(name)))
    earlier = _trained_further(chain, stage)
    if earlier is None:
        return run
    method = earlier.method.model_dump(exclude={"kind", "init_lora_weights", "lora_dropout"})
    own = run.method.model_dump()
    told = {name: value for name, value in method.items() if name in own and name not in _HELD}
    changed = type(run.method).model_validate({**own, **told})
    return run.model_copy(update={"method": changed})


def _trained_further(chain: Chain, stage: Stage) -> RunSpec | None:
    """Return the run of the earlier stage whose adapter a stage trains further."""
    if stage.run.model.adapter != "continue":
        return None
    taken = [one for one in chain.references(stage) if one.key == MODEL]
    return chain.stage(taken[0].stage).run if taken else None


def _of(chain: Chain, stage: Stage, memory: bool) -> tuple[Finding, ...]:
    taken = [one for one in chain.references(stage) if one.key == MODEL]
    notes = [Finding("note", f"begins with what stage {one.stage} leaves") for one in taken]
    try:
        later = _trained_further(chain, stage) is not None
        found = findings(as_run(chain, stage), memory=memory, adapter_comes_later=later)
    except RunError as error:  # the GPUs that it names are not there
        found = (Finding("bad", str(error)),)
    return (*notes, *found)
