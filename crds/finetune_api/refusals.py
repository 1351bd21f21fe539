"""What keeps a job from running that its schema and rules cannot tell: lint, the operator and each pod ask for it."""

from __future__ import annotations

from collections.abc import Iterator

from finetune_api.adapt import AdaptTask, Prompts, Retrieval
from finetune_api.data import Columns
from finetune_api.evaluate import EvaluationTask, probed_tasks
from finetune_api.job import FineTuneJobSpec
from finetune_api.language_names import has_name
from finetune_api.language_tags import direction_languages
from finetune_api.languages import matching_codes, ter_has_words
from finetune_api.pretrained import no_chat_template, rank_problems, top_layers_problems
from finetune_api.problems import Problem
from finetune_api.prompt_text import text_problems
from finetune_api.registries import METHODS, METRICS, PROBES, SOURCE_FORMATS, TASKS
from finetune_api.support import unsupported

UNKNOWN_LANGUAGE = "UnknownLanguage"
NO_EXAMPLES = "NoExamples"
METRIC_WITHOUT_WORDS = "MetricWithoutWords"
EXCLUDED = "SettingsExcludeEachOther"
_KEYS = {
    "Instruction": "an Instruction source are messages, or instruction, input and output",
    "QuestionAnswering": "a QuestionAnswering source are id, context, question, answers and is_impossible",
}
"""Types of sources that hold records, and what is in them."""
_WHY_NOT_PISSA = {
    "DoRA": "DoRA trains the lengths of what is left of it",
    "QLoRA": "QLoRA keeps the base in four bits, which the rest of it does not fit",
}


def refusals(spec: FineTuneJobSpec) -> list[Problem]:
    """Everything in `spec` that no stage could carry out."""
    checks = (
        unsupported,
        _columns,
        _unnamed,
        _ter,
        _examples,
        _source_types,
        _heads,
        _without_direction,
        _method,
        _prompts,
        _draws,
        _validation,
        _neural,
        _terms,
        _bias,
        _memorisation,
    )
    return [problem for check in checks for problem in check(spec)]


def _prompts(spec: FineTuneJobSpec) -> Iterator[Problem]:
    """What a template needs and is not given, and what is given to one that has no use for it."""
    if spec.adapt is None:
        return
    prompts, field = spec.adapt.prompts, "spec.adapt.prompts"
    if not TASKS[spec.adapt.task.type].has_prompts:
        if prompts != Prompts():
            yield Problem(field, f"a {spec.adapt.task.type} task has no prompts: remove it", EXCLUDED)
        return
    for name, template in (("text", "Custom"), ("example", "Custom"), ("dictionary", "DiPMT")):
        is_given = getattr(prompts, name) is not None
        if is_given and prompts.template != template:
            yield Problem(
                f"{field}.{name}", f"{prompts.template} has no use for it: use template: {template}", EXCLUDED
            )
        if not is_given and prompts.template == template and name != "example":
            yield Problem(f"{field}.{name}", f"{template} needs it", "Missing")
    if prompts.template == "Chat" and spec.model.scratch is not None:
        yield no_chat_template(spec.adapt, "a model from scratch has no chat template")
    if not TASKS[spec.adapt.task.type].has_shots and prompts.retrieval != Retrieval():
        yield Problem(
            f"{field}.retrieval",
            f"a {spec.adapt.task.type} task has no examples in its prompts that could be retrieved: remove it",
            EXCLUDED,
        )
    if prompts.template == "Custom" and prompts.text is not None:
        for name, message in text_problems(prompts.text, prompts.example, prompts.shots):
            yield Problem(f"{field}.{name}", message, "BadPrompt")


def _neural(spec: FineTuneJobSpec) -> Iterator[Problem]:
    """Neural metrics without their model, and a model without a metric that it is for."""
    evaluate = spec.evaluate
    if evaluate is None:
        return
    wanted = [
        (f"spec.evaluate.tasks[{i}].metrics[{j}]", name)
        for i, task in enumerate(evaluate.tasks)
        for j, name in enumerate(task.metrics)
        if METRICS[name].neural
    ]
    if evaluate.neural is None:
        for field, name in wanted:
            message = f"{name} is computed by a model: name it in evaluate.neural.checkpoint, or leave it out"
            yield Problem(field, message, "Missing")
    elif not wanted:
        names = " or ".join(name for name, metric in METRICS.items() if metric.neural)
        yield Problem(
            "spec.evaluate.neural", f"no task has a neural metric: add {names} to its metrics, or remove this", EXCLUDED
        )


def _validation(spec: FineTuneJobSpec) -> Iterator[Problem]:
    """What is asked of a validation split that is empty."""
    if spec.adapt is not None and spec.adapt.evaluation is not None and spec.data.split.validation == 0:
        yield Problem(
            "spec.adapt.evaluation",
            "it answers segments of the validation split, and data.split.validation is 0: raise that, or remove it",
            EXCLUDED,
        )


def _method(spec: FineTuneJobSpec) -> Iterator[Problem]:
    """Settings of a method of adaptation that exclude each other, or a model from scratch."""
    adapt, scratch = spec.adapt, spec.model.scratch
    if adapt is None:
        return
    generates = TASKS[adapt.task.type].generates
    if adapt.method == "HeadOnly" and scratch is not None and scratch.tie_embeddings and generates:
        yield Problem(
            "spec.adapt.method",
            "HeadOnly trains the output layer, and that of this model is its input embedding: give "
            "model.scratch.tieEmbeddings: false, or use TopLayers or LoRA",
            EXCLUDED,
        )
    if adapt.method == "TopLayers" and scratch is not None:
        yield from top_layers_problems(adapt.top_layers, scratch.layers)
    if not METHODS[adapt.method].adapter:
        return
    lora = adapt.lora
    field = "spec.adapt.lora"
    if lora.initialisation == "PiSSA" and adapt.method != "LoRA":
        yield Problem(
            f"{field}.initialisation",
            f"PiSSA takes its first weights out of the base, and {_WHY_NOT_PISSA[adapt.method]}: use Default, or "
            "method: LoRA",
            EXCLUDED,
        )
    if adapt.method == "DoRA" and spec.parallelism.zero.stage == 3:
        yield Problem(
            "spec.parallelism.zero.stage",
            "DoRA measures the columns of whole weights in each step, and stage 3 takes them apart: use 2 or lower, or "
            "method: LoRA",
            EXCLUDED,
        )
    if lora.initialisation == "PiSSA" and spec.parallelism.zero.stage == 3:
        yield Problem(
            "spec.parallelism.zero.stage",
            "PiSSA takes whole weights apart, and stage 3 has none of them: use 2 or lower, or initialisation: Default",
            EXCLUDED,
        )
    if scratch is not None:
        yield from rank_problems(lora.rank, scratch.hidden)


def _columns(spec: FineTuneJobSpec) -> Iterator[Problem]:
    """Columns of languages that the source does not have, of formats without columns, domains of what is not tested."""
    for index, source in enumerate(spec.data.sources):
        columns = source.columns or Columns()
        given = [name for name in ("label", "labels", "pair") if getattr(columns, name) is not None]
        if source.type != "Labelled":
            for name in given:
                yield Problem(
                    f"spec.data.sources[{index}].columns.{name}",
                    f"a {source.type} source has no labels: give type: Labelled, or remove it",
                    EXCLUDED,
                )
        if source.columns is None:
            continue
        if source.type in _KEYS:
            yield Problem(
                f"spec.data.sources[{index}].columns",
                f"the keys of {_KEYS[source.type]}: remove columns",
                EXCLUDED,
            )
            continue
        if source.columns.domain is not None and source.type != "Parallel":
            yield Problem(
                f"spec.data.sources[{index}].columns.domain",
                f"a {source.type} source is not scored by domain: remove it",
                EXCLUDED,
            )
        if source.format is not None and not SOURCE_FORMATS[source.format].has_columns:
            yield Problem(
                f"spec.data.sources[{index}].columns", f"format {source.format} has no columns: remove it", EXCLUDED
            )
        for code in source.columns.languages:
            if not matching_codes(code, source.languages):
                yield Problem(
                    f"spec.data.sources[{index}].columns.languages.{code}",
                    f"the source has no {code}: name {' and '.join(source.languages)}",
                )


def _directions(spec: FineTuneJobSpec) -> Iterator[tuple[str, str]]:
    """Field and value of each direction."""
    for index, objective in enumerate(spec.pretrain.objectives if spec.pretrain else ()):
        for position, direction in enumerate(objective.directions or ()):
            yield f"spec.pretrain.objectives[{index}].directions[{position}]", direction
    if spec.adapt and spec.adapt.task.direction:
        yield "spec.adapt.task.direction", spec.adapt.task.direction
    for index, task in enumerate(spec.evaluate.tasks if spec.evaluate else ()):
        if task.direction:
            yield f"spec.evaluate.tasks[{index}].direction", task.direction


def _unnamed(spec: FineTuneJobSpec) -> Iterator[Problem]:
    """Prompts call languages by their English names."""
    for field, direction in _directions(spec):
        for code in direction_languages(direction):
            if not has_name(code):
                yield Problem(
                    field,
                    f"{code} is no language code with an English name, and prompts need one: "
                    "use an ISO 639 code such as en, deu or pt-BR",
                    UNKNOWN_LANGUAGE,
                )


def _ter(spec: FineTuneJobSpec) -> Iterator[Problem]:
    """TER counts edits of words, and there are scripts of which it does not know where a word ends."""
    for index, task in enumerate(spec.evaluate.tasks if spec.evaluate else ()):
        target = direction_languages(task.direction)[1] if task.direction else ""
        if "TER" in task.metrics and not ter_has_words(target):
            others = ", ".join(metric for metric in task.metrics if metric != "TER")
            yield Problem(
                f"spec.evaluate.tasks[{index}].metrics",
                f"TER counts words, and {target} is written without blanks between them: "
                f"leave it out, write metrics: [{others or 'chrF++, BLEU'}]",
                METRIC_WITHOUT_WORDS,
            )


def _examples(spec: FineTuneJobSpec) -> Iterator[Problem]:
    """Fuzzy matches are taken from training pairs, so there must be a source of these in the languages."""
    evaluate = spec.evaluate
    pastes = (
        next((i for i, r in enumerate(evaluate.rivals or ()) if r.kind == "FuzzyMatch"), None) if evaluate else None
    )
    for index, task in enumerate(evaluate.tasks if evaluate else ()):
        wanted = direction_languages(task.direction) if task.direction else ()
        if not wanted or _has_pairs(spec, wanted):
            continue
        lacking = f"no source with role Train holds pairs of {' and '.join(wanted)} to take examples from"
        if any(task.shots):
            yield Problem(f"spec.evaluate.tasks[{index}].shots", f"{lacking}: use [0], or add one", NO_EXAMPLES)
        if pastes is not None:
            yield Problem(f"spec.evaluate.rivals[{pastes}].type", f"{lacking}: leave it out, or add one", NO_EXAMPLES)


def _draws(spec: FineTuneJobSpec) -> Iterator[Problem]:
    """Settings of examples that no prompt has."""
    for index, task in enumerate(spec.evaluate.tasks if spec.evaluate else ()):
        field = f"spec.evaluate.tasks[{index}]"
        if task.examples == "Random" and not any(task.shots):
            message = f"shots {task.shots} have no examples to draw: give shots of 1 or more, or remove it"
            yield Problem(f"{field}.examples", message, EXCLUDED)
        if task.draws is not None and task.examples != "Random":
            yield Problem(f"{field}.draws", "only examples: Random are drawn: add it, or remove draws", EXCLUDED)


def _has_pairs(spec: FineTuneJobSpec, languages: tuple[str, str]) -> bool:
    trained = [s.languages for s in spec.data.sources if s.role == "Train" and s.type == "Parallel"]
    return any(all(matching_codes(language, of_source) for language in languages) for of_source in trained)


def _source_types(spec: FineTuneJobSpec) -> Iterator[Problem]:
    """Tasks that read one type of source, and pre-training, which reads texts."""
    types = {source.name: source.type for source in spec.data.sources}
    for index, objective in enumerate(spec.pretrain.objectives if spec.pretrain else ()):
        if types.get(objective.source, "Text") not in ("Text", "Parallel"):
            yield Problem(
                f"spec.pretrain.objectives[{index}].source",
                f"'{objective.source}' is {types[objective.source]}: pre-training needs a source of type Text or "
                "Parallel",
            )
    for field, task in _tasks(spec):
        if not (isinstance(task, AdaptTask) and not TASKS[task.type].trains):
            needed = TASKS[task.type].source_type
            if needed and types.get(task.source, needed) != needed:
                yield Problem(
                    f"{field}.source",
                    f"'{task.source}' is {types[task.source]}: a {task.type} task needs a source of type {needed}",
                )


def _heads(spec: FineTuneJobSpec) -> Iterator[Problem]:
    """A model has one head: what it is trained for is what it can be tested on."""
    tests = spec.evaluate.tasks if spec.evaluate else []
    if spec.adapt and spec.model.scratch and TASKS[spec.adapt.task.type].needs_encoder:
        yield Problem(
            "spec.adapt.task.type",
            f"{spec.adapt.task.type} needs an encoder, and a model from scratch is causal: give model.from, or use "
            "QuestionAnswering",
            EXCLUDED,
        )
    first = spec.adapt.task.type if spec.adapt else tests[0].type if tests else None
    for index, test in enumerate(tests):
        if first is not None and TASKS[test.type].model_class != TASKS[first].model_class:
            why = "is adapted to" if spec.adapt else "is also tested on"
            yield Problem(
                f"spec.evaluate.tasks[{index}].type",
                f"a model that {why} {first} has no head for {test.type}: test it in a job of its own",
                EXCLUDED,
            )
        given = test.max_new_tokens != EvaluationTask.model_fields["max_new_tokens"].default
        if given and not TASKS[test.type].generates:
            yield Problem(
                f"spec.evaluate.tasks[{index}].maxNewTokens", f"{test.type} writes nothing: remove it", EXCLUDED
            )
    if spec.adapt is None and spec.pretrain is not None and first is not None and not TASKS[first].generates:
        yield Problem("spec.evaluate.tasks[0].type", f"nobody trains a head for {first}: add an adapt block", EXCLUDED)


def _without_direction(spec: FineTuneJobSpec) -> Iterator[Problem]:
    """Only pairs have a direction."""
    for field, task in _tasks(spec):
        if task.direction is not None and TASKS[task.type].source_type:
            yield Problem(f"{field}.direction", f"a {task.type} task has no direction: remove it", EXCLUDED)


def _terms(spec: FineTuneJobSpec) -> Iterator[Problem]:
    """Terms of a test that is no translation, and a gate that asks for terms that nobody gave."""
    tasks = spec.evaluate.tasks if spec.evaluate else []
    for index, task in enumerate(tasks):
        if task.terms is not None and task.type != "Translation":
            yield Problem(
                f"spec.evaluate.tasks[{index}].terms", f"a {task.type} task translates no terms: remove it", EXCLUDED
            )
    without = {task.name: index for index, task in enumerate(tasks) if task.terms is None}
    for index, need in enumerate(spec.evaluate.gate.require if spec.evaluate and spec.evaluate.gate else ()):
        if need.diagnostic == "termsLost" and need.task in without:
            yield Problem(
                f"spec.evaluate.gate.require[{index}].diagnostic",
                f"termsLost needs a dictionary: give evaluate.tasks[{without[need.task]}].terms",
                "Missing",
            )


def _bias(spec: FineTuneJobSpec) -> Iterator[Problem]:
    """Probes in directions of which they know nothing, and a gate that asks for a gap that nobody measures."""
    evaluate = spec.evaluate
    if evaluate is None:
        return
    measured: set[tuple[str, str]] = set()
    for index, probe in enumerate(evaluate.bias.probes if evaluate.bias else ()):
        row, tasks = PROBES[probe], probed_tasks(probe, evaluate.tasks)
        measured |= {(row.diagnostic, task.name) for task in tasks}
        if not tasks:
            yield Problem(
                f"spec.evaluate.bias.probes[{index}]",
                f"{probe} knows translations from {row.source} to {', '.join(row.targets)}, and no task is one: "
                "add one, or remove it",
                UNKNOWN_LANGUAGE,
            )
    probes = {row.diagnostic: name for name, row in PROBES.items() if row.diagnostic}
    for index, need in enumerate(evaluate.gate.require if evaluate.gate else ()):
        gap = need.diagnostic or ""
        if gap in probes and ((gap, need.task) not in measured or need.shots != 0):
            yield Problem(
                f"spec.evaluate.gate.require[{index}].diagnostic",
                f"{gap} is measured by evaluate.bias.probes: [{probes[gap]}], with shots 0, in the first task of each "
                "direction that it knows",
                "Missing",
            )


def _memorisation(spec: FineTuneJobSpec) -> Iterator[Problem]:
    """Memorisation is of the targets of an adaptation to translation."""
    if spec.evaluate is None or spec.evaluate.memorisation is None:
        return
    if spec.adapt is None or spec.adapt.task.type != "Translation":
        yield Problem(
            "spec.evaluate.memorisation",
            "it looks at what an adaptation to Translation was trained on, and this job has none: remove it",
            EXCLUDED,
        )


def _tasks(spec: FineTuneJobSpec) -> Iterator[tuple[str, AdaptTask | EvaluationTask]]:
    """Field and value of what the model is adapted to and tested on."""
    if spec.adapt is not None:
        yield "spec.adapt.task", spec.adapt.task
    for index, task in enumerate(spec.evaluate.tasks if spec.evaluate else ()):
        yield f"spec.evaluate.tasks[{index}]", task
