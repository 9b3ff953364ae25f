"""Whether the method of a run fits its model, as far as the model's configuration tells."""

from __future__ import annotations

from tui_ft.memory.model_facts import model_facts
from tui_ft.models import ArchitectureError
from tui_ft.models.targets import AdapterError, UncountableError
from tui_ft.models.trainable import trainable_parameters
from tui_ft.spec import RunSpec
from tui_ft.spec.peft_arguments import peft_arguments


def adapter_misfit(spec: RunSpec) -> tuple[str, str] | None:
    """Return why peft would not put the adapter onto the model, and what to do; None if it would.

    Stacked experts take plain LoRA alone, and a name may be no module's. May ask the Hub for the
    model's configuration; never raises.
    """
    arguments = peft_arguments(spec.method)
    if arguments is None:
        return None
    facts = model_facts(spec.model.name_or_path, spec.model.revision)
    if facts.config is None or facts.where == "catalogue":
        return None
    extra = getattr(spec.method, "extra", {})
    try:
        trainable_parameters(facts.architecture(), {**arguments, **extra})
    except (UncountableError, ArchitectureError):
        return None
    except AdapterError as error:
        return f"method: {error}", "name other target_modules, or set method.kind to lora"
    return None
