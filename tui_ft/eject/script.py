"""A run as a Python script on trl, transformers and peft that needs nothing of ftui."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any, Final

from tui_ft.eject.adapter_lines import adapter_of
from tui_ft.eject.beginning import beginning_of
from tui_ft.eject.forms import Form, class_weights, form_of
from tui_ft.eject.processes import command_of, of_accumulating
from tui_ft.eject.reward_lines import rewards_of
from tui_ft.spec import RunSpec
from tui_ft.spec.distributed import DeepSpeedStrategy
from tui_ft.spec.ewc import EwcPenalty
from tui_ft.spec.methods import (
    CHANGES_BASE,
    TRAINS_BASE,
    AdaLoraMethod,
    FreezeMethod,
    FullMethod,
    lora_init,
)
from tui_ft.spec.objectives import KtoObjective, ReferenceFields
from tui_ft.spec.online import OnlineFields
from tui_ft.spec.peft_arguments import peft_arguments
from tui_ft.spec.ppo import PpoObjective
from tui_ft.spec.run_spec import QloraMethod
from tui_ft.spec.trainer_arguments import (
    evaluates_last,
    plan_schedule,
    shared_arguments,
    usual_figure,
)

TEMPLATE_FILE: Final = "chat_template.jinja"
"""Beside the script, where the run brings a chat template of its own."""
_PARTS: Final = Path(__file__).with_name("parts")
_INDENT: Final = "\n    "
_TORCH: Final = {"bf16": "torch.bfloat16", "fp16": "torch.float16", "fp32": "torch.float32"}
_INITIAL: Final = "initial-adapter"
_HEADS: Final = ("score", "classifier", "pre_classifier", "pooler", "head")


def script(spec: RunSpec, *, evaluates: bool, classes: Mapping[str, int] | None = None) -> str:
    """Return the script of a run.

    Args:
        spec: the run.
        evaluates: whether there is an eval.jsonl beside it.
        classes: of a classification, in the order of the outputs, with their rows.
    """
    writer = _Script(
        spec, form_of(spec), evaluates=evaluates, classes=dict(classes or {"reward": 1})
    )
    return writer.text().rstrip() + "\n"


def part(name: str) -> str:
    """Return the text of a part that scripts are put together of."""
    return (_PARTS / f"{name}.part").read_text(encoding="utf-8")


class _Script:
    """Writes one script."""

    def __init__(
        self, spec: RunSpec, form: Form, *, evaluates: bool, classes: dict[str, int]
    ) -> None:
        self._spec, self._form = spec, form
        self._evaluates = evaluates
        self._classes = classes
        self._begins = beginning_of(spec)
        self._adapter = self._begins.adapter or adapter_of(spec.method, scores=form.scores)
        asked = spec.objective
        self._rewards = rewards_of(asked) if isinstance(asked, OnlineFields) else None
        self._is_quantised = isinstance(spec.method, QloraMethod)

    @property
    def _initial(self) -> str:
        return lora_init(self._spec.method)

    @property
    def _ewc(self) -> EwcPenalty | None:
        method = self._spec.method
        return method.ewc if isinstance(method, FullMethod) else None

    @property
    def _drops_nothing(self) -> bool:
        return bool(getattr(self._spec.objective, "disable_dropout", False))

    @property
    def _evaluates_last(self) -> bool:
        return self._evaluates and evaluates_last(self._spec)

    def text(self) -> str:
        """Return all of it."""
        spec, form = self._spec, self._form
        files = "lie train.jsonl and eval.jsonl" if self._evaluates else "lies train.jsonl"
        with_template = spec.model.chat_template is not None
        template = f'tokenizer.chat_template = (HERE / "{TEMPLATE_FILE}").read_text()'
        output = "model" if spec.method.kind in TRAINS_BASE else "adapter"
        whole = "[new for line in lines for new in made(json.loads(line))]"
        shuffled = ".shuffle(seed=SEED)" if self._asks_beforehand() else ""
        return Template((_PARTS / "script.template").read_text(encoding="utf-8")).substitute(
            title=f"The run `{spec.name}` as plain trl: {spec.method.kind}, {form.name}.",
            needs=" ".join(self._needs()),
            command=command_of(spec),
            rows_said=files,
            row_said=form.rows,
            modules=self._modules(),
            imports=self._imports(),
            model=repr(self._begins.model),
            revision=repr(self._begins.revision),
            tokenizer=self._begins.tokenizer,
            beginning=self._beginning(),
            max_length=spec.training.max_length,
            seed=spec.training.seed,
            constants=self._constants(),
            template=template if with_template else "",
            rows="".join(map(self._part, self._parts())),
            dataset=form.dataset.replace("{}", whole) + shuffled,
            precision=_precision(spec),
            rewards="" if self._rewards is None else self._rewards.functions,
            model_lines="\n".join(self._model()),
            method_lines="\n".join(self._method()),
            config_class=form.config,
            config=_INDENT.join(self._config()),
            trainer_class=form.trainer,
            trainer_arguments=_INDENT.join(self._trainer_arguments()),
            after_trainer=self._after_trainer(),
            saves="".join(f"{line}\n    " for line in self._begins.saves),
            save=self._saving(output),
            output=repr(output),
        )

    def _beginning(self) -> str:
        """Return what comes before anything is loaded; empty for a run on a whole model."""
        begins = self._begins
        return "".join(map(part, begins.parts)) + "".join(f"{line}\n" for line in begins.begins)

    def _asks_beforehand(self) -> bool:
        """Tell whether KTO's reference is asked once: its answers hold for one order alone."""
        objective = self._spec.objective
        return isinstance(objective, KtoObjective) and objective.precompute_ref_log_probs

    def _parts(self) -> tuple[str, ...]:
        last = ("last",) if self._evaluates_last else ()
        own = {"adalora": ("ranks",), "freeze": ("freeze",)}.get(self._spec.method.kind, ())
        ewc = ("ewc",) if self._ewc is not None else ()
        loftq = ("loftq",) if self._initial == "loftq" else ()
        rewards = () if self._rewards is None else self._rewards.parts
        whole = ("no_dropout",) if self._drops_nothing else ()
        return (*self._form.parts, *rewards, *own, *ewc, *loftq, *whole, *last)

    def _part(self, name: str) -> str:
        return part(name).replace("$base", self._form.base)

    def _needs(self) -> tuple[str, ...]:
        quantised = ("bitsandbytes",) if self._is_quantised else ()
        rewards = () if self._rewards is None else self._rewards.needs
        return ("torch", "transformers", "trl", "peft", "datasets", *quantised, *rewards)

    def _modules(self) -> str:
        rewards = () if self._rewards is None else self._rewards.imports
        modules = {"import json", "import os", "from pathlib import Path", *rewards}
        modules |= {"import contextlib"} if self._form.answers else set()
        modules |= {"import inspect"} if "positions" in self._form.parts else set()
        modules |= {"import copy"} if self._drops_nothing else set()
        if isinstance(self._spec.objective, PpoObjective):
            modules |= {"import math", "from types import SimpleNamespace"}
        return "\n".join(sorted(modules, key=lambda line: (line.startswith("from"), line)))

    def _imports(self) -> str:
        spec = self._spec
        kind = "SequenceClassification" if self._form.scores else "CausalLM"
        names = [f"AutoModelFor{kind}", "AutoTokenizer"]
        loads_scorer = self._rewards is not None and bool(self._rewards.loads)
        names += ["AutoModelForSequenceClassification"] if loads_scorer else []
        names += ["BitsAndBytesConfig"] if self._is_quantised else []
        names += ["EarlyStoppingCallback"] if spec.training.early_stopping_patience else []
        calls_back = isinstance(spec.method, AdaLoraMethod) or self._evaluates_last
        names += ["TrainerCallback"] if calls_back else []
        names += ["set_seed"] if self._form.scores else []
        lines = list(self._begins.imports)
        lines += () if self._rewards is None else self._rewards.libraries
        lines.append("from datasets import Dataset")
        if loads_scorer:
            lines.append("from peft import PeftModel")
        if self._adapter is not None:
            lines.append(self._adapter.imported)
            if self._form.wraps:
                lines.append("from peft import get_peft_model")
        if self._initial == "loftq":
            lines.insert(0, "from bitsandbytes.functional import dequantize_4bit")
            lines.append("from peft.tuners.lora.bnb import Linear4bit")
            lines.append("from peft.utils.loftq_utils import _SafetensorLoader")
        lines.append(f"from transformers import {', '.join(sorted(names))}")
        return "\n".join([*lines, self._form.imports])

    def _constants(self) -> str:
        spec = self._spec
        values = {**(self._begins.constants or {}), **self._form.constants(spec)}
        if "masked" in self._form.parts:
            values["CUT_AT"] = spec.training.row_limit
        if spec.objective.kind == "classification":
            values["CLASSES"] = list(self._classes)
            values["CLASS_WEIGHTS"] = class_weights(spec.objective, self._classes)
        if isinstance(spec.method, AdaLoraMethod):
            method = spec.method
            values |= {"TINIT": method.tinit, "TFINAL": method.tfinal, "DELTA_T": method.deltaT}
            values["ORTH_REG_WEIGHT"] = method.orth_reg_weight
        if self._ewc is not None:
            values |= {"EWC_LAMBDA": self._ewc.ewc_lambda, "EWC_ROWS": self._ewc.rows}
        lines = [f"{name} = {value!r}\n" for name, value in values.items()]
        if isinstance(spec.objective, PpoObjective):
            asked = spec.objective.model_dump(exclude={"kind", "rewards"})
            named = "".join(f"    {line}\n" for line in _keywords(asked))
            lines.append(f"ASKED = SimpleNamespace(\n{named})\n")
        return "".join(lines)

    def _model(self) -> list[str]:
        arguments = [f"        {line}" for line in self._model_arguments()]
        if not self._form.scores:
            load = "    return AutoModelForCausalLM.from_pretrained("
            lines = ["def load():", load, "        MODEL,", *arguments, "    )"]
            scorers = () if self._rewards is None else self._rewards.loads
            return [*lines, "", "", *scorers, "model = load()"]
        classes = list(self._classes)
        return [
            "set_seed(SEED)  # the head begins with random weights",
            "model, report = AutoModelForSequenceClassification.from_pretrained(",
            "    MODEL,",
            "    output_loading_info=True,",
            f"    num_labels={len(classes)},",
            f"    id2label={dict(enumerate(classes))!r},",
            f"    label2id={ {name: number for number, name in enumerate(classes)}!r},",
            "    ignore_mismatched_sizes=True,",
            *(line.removeprefix("    ") for line in arguments),
            ")",
            'replaced = [key for key, *_ in report["mismatched_keys"]]',
            'new = {key.rpartition(".")[0] for key in (*report["missing_keys"], *replaced)}',
            "# what peft trains whole by itself, and what is new outside of that",
            "names = [name for name, _ in model.named_modules()]",
            'heads = {name for name in names if name.endswith(("classifier", "score"))}',
            'within = tuple(f"{name}." for name in heads)',
            'whole = {name for name in new if not f"{name}.".startswith(within)}',
        ]

    def _model_arguments(self) -> list[str]:
        spec = self._spec
        model, method = spec.model, spec.method
        if model.dtype != "auto":
            dtype = f"torch.{model.dtype}"
        else:
            dtype = "torch.float32" if method.kind in TRAINS_BASE else "arithmetic"
        lines = ["revision=REVISION,", f"dtype={dtype},", "use_safetensors=True,"]
        if model.attn_implementation != "auto":
            lines.append(f"attn_implementation={model.attn_implementation!r},")
        if model.trust_remote_code:
            lines.append("trust_remote_code=True,")
        if isinstance(method, QloraMethod):
            lines += self._quantisation(method)
        return [*lines, *_keywords(model.extra)]

    def _quantisation(self, method: QloraMethod) -> list[str]:
        lines = ["quantization_config=BitsAndBytesConfig("]
        if method.bits == 8:  # noqa: PLR2004 - bits
            lines.append("    load_in_8bit=True,")
        else:
            lines += [
                "    load_in_4bit=True,",
                f"    bnb_4bit_quant_type={method.bnb_4bit_quant_type!r},",
                f"    bnb_4bit_use_double_quant={method.bnb_4bit_use_double_quant},",
                "    bnb_4bit_compute_dtype=arithmetic,",
            ]
        if self._form.scores:
            lines.append(f"    llm_int8_skip_modules={list(_HEADS)!r},")
        place = 'int(os.environ.get("LOCAL_RANK", 0)) if on_gpu else "cpu"'
        return [*lines, "),", f'device_map={{"": {place}}},']

    def _method(self) -> list[str]:
        method, adapter = self._spec.method, self._adapter
        before = ["leave_out_dropout(model)"] if self._drops_nothing else []
        if isinstance(method, FreezeMethod):
            before += [f"freeze_all_but_last(model, {method.num_trainable_layers})"]
        if not self._form.wraps:
            return before
        lines = ["set_seed(SEED)"]
        if self._form.scores:
            lines.append("model.config.pad_token_id = tokenizer.pad_token_id")
        if adapter is not None:
            lines += ["model = get_peft_model(", "    model,"]
            lines += [f"    {line}" for line in adapter.lines]
            lines.append(")")
            if self._spec.training.gradient_checkpointing:
                lines.append("model.enable_input_require_grads()")
        return [*lines, *self._policy(), *before]

    def _policy(self) -> list[str]:
        """Return the lines that make PPO's policy of the model."""
        if not isinstance(self._spec.objective, PpoObjective):
            return []
        place = "ADAPTER" if self._begins.constants else "MODEL"
        reference = "load().requires_grad_(False).eval()" if self._adapter is None else "None"
        return [
            "stops = model.generation_config.eos_token_id",
            "stops = stops if isinstance(stops, list) else [stops]",
            "policy = Policy(",
            "    model,",
            f"    {reference},  # what the model was",
            "    ASKED,",
            "    pad=tokenizer.pad_token_id,",
            "    ends=sorted({*stops, tokenizer.eos_token_id} - {None}),",
            f"    rate={self._spec.training.learning_rate!r},",
            ")",
            f"load_head(policy.head, Path({place}))  # where an earlier run of PPO has left one",
        ]

    def _config(self) -> list[str]:
        spec = self._spec
        evaluates = self._evaluates and spec.training.eval_steps is not None
        usual = usual_figure(spec.objective)
        schedule = plan_schedule(spec.training, evaluates, lambda _: None, usual)
        arguments: dict[str, Any] = {
            **shared_arguments(spec.training),
            **schedule.arguments,
            **self._form.own(spec),
        }
        if schedule.evaluations_a_save not in (None, 1):
            arguments["save_steps"] = arguments["eval_steps"] * schedule.evaluations_a_save
        if spec.training.max_steps is not None:
            del arguments["num_train_epochs"]
        if spec.method.kind == "prefix_tuning":  # peft refuses both together
            arguments["gradient_checkpointing"] = False
        arguments |= of_accumulating(spec)
        arguments |= spec.training.extra
        given = {name: value for name, value in arguments.items() if value is not None}
        return [
            'output_dir="checkpoints",',
            *_keywords(given),
            "data_seed=SEED,",
            'report_to="none",',
            'gradient_checkpointing_kwargs={"use_reentrant": False},',
            "bf16=bf16,",
            "fp16=fp16,",
            "use_cpu=not on_gpu,",
        ]

    def _trainer_arguments(self) -> list[str]:
        spec, adapter = self._spec, self._adapter
        lines = ['train_dataset=rows("train.jsonl"),']
        if self._evaluates and (spec.training.eval_steps is not None or self._evaluates_last):
            lines.append('eval_dataset=rows("eval.jsonl"),')
        lines += self._form.handed
        if self._rewards is not None:
            lines += ["reward_funcs=[", *(f"    {name}," for name in self._rewards.names), "],"]
            if self._form.wraps:
                lines.append(f"reward_weights={list(self._rewards.weights)!r},")
        if adapter is not None and not self._form.wraps:
            lines += [f"peft_config={adapter.lines[0]}", *adapter.lines[1:]]
        if self._form.compares and adapter is None and not self._knows_its_reference():
            lines.append("ref_model=load(),")
        callbacks = []
        patience = spec.training.early_stopping_patience
        if patience and self._evaluates:
            callbacks.append(f"EarlyStoppingCallback(early_stopping_patience={patience})")
        if self._evaluates_last:
            callbacks.append("EvaluatesLast()")
        if isinstance(spec.method, AdaLoraMethod):
            callbacks.append("MovesRanks()")
        return [*lines, f"callbacks=[{', '.join(callbacks)}],"] if callbacks else lines

    def _knows_its_reference(self) -> bool:
        asked = self._spec.objective
        beforehand = isinstance(asked, ReferenceFields) and asked.precompute_ref_log_probs
        return beforehand or bool(getattr(asked, "reference_free", False))

    def _held(self) -> list[str]:
        """Return the lines that hold in float32 what is trained beside a base of fewer bits."""
        deepspeed = isinstance(self._spec.hardware.distributed, DeepSpeedStrategy)
        copies = self._form.scores or self._trains_of_the_base()
        if not self._is_quantised and (self._adapter is None or deepspeed or not copies):
            return []
        lines = [
            "for parameter in trainer.model.parameters():",
            "    if parameter.requires_grad:  # in 16 bits small updates would be lost",
            "        parameter.data = parameter.data.to(torch.float32)",
        ]
        if isinstance(self._spec.objective, OnlineFields) and self._trains_of_the_base():
            lines += [
                "base = trainer.model.get_base_model()  # by which peft answers, without autocast",
                "in_16_bits = torch.autocast(trainer.args.device.type, arithmetic)",
                "if arithmetic != torch.float32:",
                "    base.forward = in_16_bits(base.forward)",
            ]
        return lines

    def _trains_of_the_base(self) -> bool:
        """Tell whether copies of the base's modules, or biases of it, are trained beside it."""
        asked = peft_arguments(self._spec.method) or {}
        biases = asked.get("bias") not in (None, "none")
        return biases or asked.get("peft_type") == "LN_TUNING" or bool(asked.get("modules_to_save"))

    def _after_trainer(self) -> str:
        lines = []
        if self._form.dataset.startswith("Tokens"):
            lines.append("trainer.use_dpo_data_collator = True  # ours has its collator's shape")
        if isinstance(self._spec.objective, KtoObjective) and not self._asks_beforehand():
            lines.append('trainer.args.train_sampling_strategy = "random"  # pairs are made anew')
        if isinstance(self._spec.method, AdaLoraMethod):
            lines.append("with_orthogonality(trainer)")
        lines += self._held()
        if self._ewc is not None:
            lines.append("with_ewc(trainer)")
        if self._initial == "loftq":
            lines.append("begin_at_the_residual(trainer.model)")
        if self._initial in CHANGES_BASE:
            lines += [
                "# Saved is the difference to where it began, which fits the base as it is.",
                'adapter = trainer.model.peft_config["default"]',
                "begun, adapter.init_lora_weights = adapter.init_lora_weights, True",
                "first = trainer.is_world_process_zero()",
                f'trainer.model.save_pretrained("{_INITIAL}", is_main_process=first)',
                "adapter.init_lora_weights = begun",
            ]
        return "".join(f"{line}\n" for line in [*lines, *self._begins.after])

    def _saving(self, output: str) -> str:
        if self._initial in CHANGES_BASE:
            change = f'path_initial_model_for_weight_conversion="{_INITIAL}"'
            save = f"trainer.model.save_pretrained({output!r}, {change})"
            return f"if trainer.is_world_process_zero():\n        {save}"
        return f"trainer.save_model({output!r})"


def _precision(spec: RunSpec) -> str:
    """Return the choice of types, which is made where the script runs if the run left it open."""
    asked = spec.training.precision
    lines = ["on_gpu = torch.cuda.is_available()"]
    if asked == "auto":
        lines += [
            "bf16 = on_gpu and torch.cuda.is_bf16_supported(including_emulation=False)",
            "fp16 = on_gpu and not bf16",
        ]
    else:
        lines += [f"bf16, fp16 = {asked == 'bf16'}, {asked == 'fp16'}"]
    chosen = "torch.bfloat16 if bf16 else torch.float16 if fp16 else torch.float32"
    lines.append(f"arithmetic = {chosen if asked == 'auto' else _TORCH[asked]}")
    return "\n".join(lines) + "\n"


def _keywords(arguments: Mapping[str, Any]) -> list[str]:
    return [f"{name}={value!r}," for name, value in arguments.items()]
