"""What the API can say and this version cannot do yet: refused, never ignored.

Names come from the tables of `registries` and `stages`; only settings that no table has are listed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from finetune_api.adapt import MOST_SHOTS, Adapt
from finetune_api.data import DataSource
from finetune_api.decoding import Decoding
from finetune_api.dictionary import dictionaries
from finetune_api.job import FineTuneJobSpec
from finetune_api.problems import Problem
from finetune_api.registries import (
    CURRICULA,
    DECODINGS,
    METHODS,
    METRICS,
    PROBES,
    RIVALS,
    SOURCE_FORMATS,
    STORES,
    TASKS,
    implemented,
    pretraining_objectives,
    templates_of,
)
from finetune_api.registry_rows import Entry
from finetune_api.stages import PIPELINE

NOT_SUPPORTED = "NotSupported"
HUB = "hf"
"""Data sets of the hub are read by name, so they need no store."""


def unsupported(spec: FineTuneJobSpec) -> list[Problem]:
    """Every setting of `spec` that this version does not implement."""
    return [
        *_blocks(spec),
        *_data(spec),
        *_models(spec),
        *_pretrain(spec),
        *_adapt(spec),
        *_evaluate(spec),
    ]


def _problem(field: str, what: str, instead: str) -> Problem:
    return Problem(f"spec.{field}", f"{what} is not supported yet: {instead}", NOT_SUPPORTED)


def _name(field: str, name: str, entries: Mapping[str, Entry]) -> Iterator[Problem]:
    """A problem if `name` is in the API only."""
    if entries[name].implementation is None:
        yield _problem(field, name, f"use {_either(implemented(entries))}")


def _either(names: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _flags(flags: Iterable[tuple[bool, str, str, str]]) -> Iterator[Problem]:
    """Problems of settings that no table has: (whether it is set, field, what, what to do instead)."""
    return (_problem(field, what, instead) for is_set, field, what, instead in flags if is_set)


def _blocks(spec: FineTuneJobSpec) -> Iterator[Problem]:
    stages = [name for name, stage in PIPELINE.items() if stage.implementation is None]
    for block in (*stages, "elastic"):
        if getattr(spec, block) is not None:
            yield _problem(block, f"the {block} block", "remove it")


def _data(spec: FineTuneJobSpec) -> Iterator[Problem]:
    for index, source in enumerate(spec.data.sources):
        field = f"data.sources[{index}]"
        yield from _store(f"{field}.uri", source.uri, "the corpus", and_hub=_may_be_on_hub(source))
        if source.format is not None:
            yield from _name(f"{field}.format", source.format, SOURCE_FORMATS)
    data = spec.data
    yield from _flags(
        (
            (data.clean.language_id, "data.clean.languageId", "language identification", "use false"),
            (data.clean.redact_personal_data, "data.clean.redactPersonalData", "redaction", "use false"),
            (data.deduplicate.near is not None, "data.deduplicate.near", "near-duplicate removal", "remove it"),
            (data.split.folds > 0, "data.split.folds", "cross-validation", "use 0"),
        )
    )


def _may_be_on_hub(source: DataSource) -> bool:
    return source.format in (None, "huggingface")


def _models(spec: FineTuneJobSpec) -> Iterator[Problem]:
    baseline = spec.evaluate.baseline.model if spec.evaluate else None
    encoder = spec.adapt.prompts.retrieval.encoder if spec.adapt else None
    rivals = (spec.evaluate.rivals if spec.evaluate else None) or []
    for field, reference in (
        ("model.from", spec.model.from_),
        ("evaluate.baseline.model", baseline),
        ("adapt.prompts.retrieval.encoder", encoder),
        *((f"evaluate.rivals[{i}].model", rival.model) for i, rival in enumerate(rivals)),
        *((f"evaluate.rivals[{i}].base", rival.base) for i, rival in enumerate(rivals)),
    ):
        if reference is not None:
            yield from _store(f"{field}.uri", reference.uri, "the model")
    neural = spec.evaluate.neural if spec.evaluate else None
    if neural is not None:
        yield from _store("evaluate.neural.checkpoint.uri", neural.checkpoint.uri, "the checkpoint")
    for field, dictionary in dictionaries(spec):
        yield from _store(f"{field.removeprefix('spec.')}.uri", dictionary.uri, "the dictionary")


def _store(field: str, uri: str, what: str, *, and_hub: bool = False) -> Iterator[Problem]:
    scheme, separator, _ = uri.partition("://")
    if not separator or (and_hub and scheme == HUB) or scheme in implemented(STORES):
        return
    usable = _either([f"{name}://" for name in implemented(STORES)])
    yield _problem(field, f"{scheme}://", f"copy {what} to a volume and use {usable}")


def _pretrain(spec: FineTuneJobSpec) -> Iterator[Problem]:
    if spec.pretrain is None:
        return
    for index, objective in enumerate(spec.pretrain.objectives):
        yield from _name(f"pretrain.objectives[{index}].type", objective.type, pretraining_objectives())
    yield from _name("pretrain.curriculum.strategy", spec.pretrain.curriculum.strategy, CURRICULA)


def _adapt(spec: FineTuneJobSpec) -> Iterator[Problem]:
    adapt = spec.adapt
    if adapt is None:
        return
    yield from _name("adapt.method", adapt.method, METHODS)
    yield from _name("adapt.task.type", adapt.task.type, TASKS)
    task = TASKS[adapt.task.type]
    if not task.trains:
        usable = _either([name for name in implemented(TASKS) if TASKS[name].trains])
        yield _problem("adapt.task.type", f"adaptation to {adapt.task.type}", f"use {usable}")
    if adapt.evaluation is not None and not task.scored_in_training:
        yield _problem("adapt.evaluation", f"scoring answers of {adapt.task.type} in training", "remove it")
    yield from _flags(((adapt.hints is not None, "adapt.hints", "hints", "use prompts.template: TIM or ParroT"),))
    if not task.has_prompts:
        return
    yield from _template(adapt)
    yield from _shots(
        "adapt.prompts.shots", adapt.prompts.shots, most=0 if task.trains and not task.has_shots else MOST_SHOTS
    )


def _template(adapt: Adapt) -> Iterator[Problem]:
    """A template that is not there, or does not fit the task."""
    usable = implemented(templates_of(adapt.task.type))
    template = adapt.prompts.template
    if template not in usable:
        what = f"template {template} of {adapt.task.type}"
        yield _problem("adapt.prompts.template", what, f"use {_either(usable)}")


def _evaluate(spec: FineTuneJobSpec) -> Iterator[Problem]:
    evaluate = spec.evaluate
    if evaluate is None:
        return
    for index, task in enumerate(evaluate.tasks):
        field = f"evaluate.tasks[{index}]"
        yield from _name(f"{field}.type", task.type, TASKS)
        yield from _shots(f"{field}.shots", task.shots, most=MOST_SHOTS if TASKS[task.type].has_shots else 0)
        if task.robustness and not TASKS[task.type].has_shots:
            yield _problem(f"{field}.robustness", f"noise in {task.type}", "remove it")
        yield from _name(f"{field}.decoding.method", task.decoding.method, DECODINGS)
        if task.decoding != Decoding() and not TASKS[task.type].decodes:
            yield _problem(f"{field}.decoding", f"decoding in {task.type}, which measures texts,", "remove it")
        for place, metric in enumerate(task.metrics):
            yield from _metric(f"{field}.metrics[{place}]", metric, task.type)
    types = {task.name: task.type for task in evaluate.tasks}
    for index, need in enumerate(evaluate.gate.require if evaluate.gate else ()):
        counted = TASKS[types[need.task]].diagnostics if need.task in types else ()
        if need.diagnostic is not None and need.task in types and need.diagnostic not in counted:
            instead = f"use {_either(counted)}" if counted else "use a metric"
            what = f"{need.diagnostic} of {types[need.task]}"
            yield _problem(f"evaluate.gate.require[{index}].diagnostic", what, instead)
    for index, rival in enumerate(evaluate.rivals or ()):
        field = f"evaluate.rivals[{index}]"
        if rival.type is not None:
            yield from _name(f"{field}.type", rival.type, RIVALS)
        for place, hypotheses in enumerate(rival.hypotheses or ()):
            yield from _store(f"{field}.hypotheses[{place}].uri", hypotheses.uri, "the hypotheses")
    for index, probe in enumerate(evaluate.bias.probes if evaluate.bias else ()):
        yield from _name(f"evaluate.bias.probes[{index}]", probe, PROBES)
    with_job = evaluate.baseline.job_ref is not None
    yield from _flags(((with_job, "evaluate.baseline.jobRef", "a job as baseline", "use baseline.model"),))


def _shots(field: str, shots: Sequence[int], most: int) -> Iterator[Problem]:
    what, instead = (
        (f"a number of examples other than 0 to {most}", f"use at most {most}")
        if most
        else ("an example in the prompt of this task", "use 0")
    )
    return _flags((not 0 <= shot <= most, f"{field}[{i}]", what, instead) for i, shot in enumerate(shots))


def _metric(field: str, metric: str, task: str) -> Iterator[Problem]:
    """A metric that is not there, or does not fit the task."""
    fitting = [name for name in implemented(METRICS) if task in METRICS[name].tasks]
    if metric not in fitting and fitting:
        yield _problem(field, f"{metric} of {task}", f"use {_either(fitting)}")
