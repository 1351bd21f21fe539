"""What the API can say and this version cannot do yet: refused, never ignored."""

from __future__ import annotations

from finetune_api.job import FineTuneJobSpec
from finetune_api.problems import Problem

NOT_SUPPORTED = "NotSupported"
_STRATEGIES = ("Fixed", "FAIR")
_METRICS = ("BLEU", "chrF", "chrF++", "TER")


def unsupported(spec: FineTuneJobSpec) -> list[Problem]:
    """Every setting of `spec` that this version does not implement."""
    return [
        *_unsupported_blocks(spec),
        *_unsupported_data(spec),
        *_unsupported_pretrain(spec),
        *_unsupported_adapt(spec),
        *_unsupported_evaluate(spec),
    ]


def _problem(field: str, what: str, instead: str) -> Problem:
    return Problem(f"spec.{field}", f"{what} is not supported yet: {instead}", NOT_SUPPORTED)


def _unsupported_blocks(spec: FineTuneJobSpec) -> list[Problem]:
    return [
        _problem(block, f"the {block} block", "remove it")
        for block in ("fuse", "align", "export", "elastic")
        if getattr(spec, block) is not None
    ]


def _unsupported_data(spec: FineTuneJobSpec) -> list[Problem]:
    problems = []
    for index, source in enumerate(spec.data.sources):
        field = f"data.sources[{index}]"
        if source.type == "QuestionAnswering":
            problems.append(_problem(f"{field}.type", "QuestionAnswering", "use Parallel or Text"))
        if source.uri.startswith("s3://"):
            problems.append(_problem(f"{field}.uri", "s3://", "copy the corpus to a volume and use file://"))
    if spec.data.clean.language_id:
        problems.append(_problem("data.clean.languageId", "language identification", "use false"))
    if spec.data.clean.redact_personal_data:
        problems.append(_problem("data.clean.redactPersonalData", "redaction", "use false"))
    if spec.data.deduplicate.near is not None:
        problems.append(_problem("data.deduplicate.near", "near-duplicate removal", "remove it"))
    if spec.data.split.folds:
        problems.append(_problem("data.split.folds", "cross-validation", "use 0"))
    return problems


def _unsupported_pretrain(spec: FineTuneJobSpec) -> list[Problem]:
    if spec.pretrain is None:
        return []
    problems = [
        _problem(f"pretrain.objectives[{i}].type", "Denoising", "use CausalLM or Translation")
        for i, objective in enumerate(spec.pretrain.objectives)
        if objective.type == "Denoising"
    ]
    strategy = spec.pretrain.curriculum.strategy
    if strategy not in _STRATEGIES:
        problems.append(_problem("pretrain.curriculum.strategy", strategy, f"use one of {', '.join(_STRATEGIES)}"))
    return problems


def _unsupported_adapt(spec: FineTuneJobSpec) -> list[Problem]:
    adapt = spec.adapt
    if adapt is None:
        return []
    problems = []
    if adapt.method not in ("LoRA", "Full"):
        problems.append(_problem("adapt.method", adapt.method, "use LoRA or Full"))
    if adapt.task.type != "Translation":
        problems.append(_problem("adapt.task.type", adapt.task.type, "use Translation"))
    if adapt.hints is not None:
        problems.append(_problem("adapt.hints", "hints", "remove it"))
    if adapt.prompts.dictionary is not None:
        problems.append(_problem("adapt.prompts.dictionary", "dictionary hints", "remove it"))
    if any(shots not in (0, 1) for shots in adapt.prompts.shots):
        problems.append(_problem("adapt.prompts.shots", "more than one shot", "use 0 and 1"))
    return problems


def _unsupported_evaluate(spec: FineTuneJobSpec) -> list[Problem]:
    evaluate = spec.evaluate
    if evaluate is None:
        return []
    problems = []
    for index, task in enumerate(evaluate.tasks):
        field = f"evaluate.tasks[{index}]"
        if task.type != "Translation":
            problems.append(_problem(f"{field}.type", task.type, "use Translation"))
        if any(shots not in (0, 1) for shots in task.shots):
            problems.append(_problem(f"{field}.shots", "more than one shot", "use 0 and 1"))
        problems.extend(
            _problem(f"{field}.metrics", metric, f"use one of {', '.join(_METRICS)}")
            for metric in task.metrics
            if metric not in _METRICS
        )
    if evaluate.baseline.job_ref is not None:
        problems.append(_problem("evaluate.baseline.jobRef", "a job as baseline", "use baseline.model"))
    if evaluate.bias is not None:
        problems.append(_problem("evaluate.bias", "bias probes", "remove it"))
    return problems
