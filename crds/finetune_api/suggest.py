"""What the writer of an unknown name meant: a field beside it, one elsewhere, or a name of another tool."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches

from pydantic.alias_generators import to_camel

from finetune_api.base import ApiModel, child_models

CLOSE = 0.75
"""Ratio of difflib above which a word is taken for a misspelling."""

NAMES_ELSEWHERE = {
    "r": "rank",
    "lora_r": "rank",
    "lora_rank": "rank",
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "lora_target": "targets",
    "lora_target_modules": "targets",
    "target_modules": "targets",
    "max_seq_length": "sequenceLength",
    "max_seq_len": "sequenceLength",
    "max_length": "sequenceLength",
    "seq_length": "sequenceLength",
    "sequence_len": "sequenceLength",
    "cutoff_len": "sequenceLength",
    "num_train_epochs": "epochs",
    "num_epochs": "epochs",
    "lr": "learningRate",
    "lr_scheduler": "schedule",
    "lr_scheduler_type": "schedule",
    "warmup_steps": "warmupRatio",
    "optim": "optimizer",
    "adam_beta1": "beta1",
    "adam_beta2": "beta2",
    "adam_epsilon": "epsilon",
    "max_grad_norm": "gradientClip",
    "gradient_clipping": "gradientClip",
    "batch_size": "globalTokens",
    "train_batch_size": "globalTokens",
    "gradient_accumulation_steps": "globalTokens",
    "micro_batch_size": "microBatch",
    "per_device_train_batch_size": "microBatch",
    "train_micro_batch_size_per_gpu": "microBatch",
    "sample_packing": "packing",
    "eval_steps": "validateEverySteps",
    "save_steps": "everySteps",
    "save_total_limit": "keepLast",
    "load_best_model_at_end": "keepBest",
    "early_stopping_patience": "patience",
    "max_new_tokens": "maxNewTokens",
    "max_samples": "maxExamples",
    "max_train_samples": "maxExamples",
    "bf16": "precision",
    "fp16": "precision",
    "torch_dtype": "precision",
    "num_nodes": "nodes",
    "num_processes": "processesPerNode",
    "nproc_per_node": "processesPerNode",
    "base_model": "from",
    "model_name_or_path": "from",
    "vocab_size": "vocabularySize",
    "hidden_size": "hidden",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "num_key_value_heads": "kvHeads",
    "intermediate_size": "intermediate",
    "max_position_embeddings": "contextLength",
    "tie_word_embeddings": "tieEmbeddings",
    "zero_stage": "stage",
    "mixture": "objectives",
    "datasets": "sources",
    "dataset": "sources",
}
"""Field by the name it has in PEFT, transformers, LLaMA-Factory, Axolotl or DeepSpeed."""
_ELSEWHERE_IN_CAMEL_CASE = {to_camel(name): field for name, field in NAMES_ELSEWHERE.items()}


def meant_field(model: type[ApiModel], location: Sequence[str | int]) -> str | None:
    """What an unknown field of `model` is called: a name if it belongs beside, else its path.

    `location`: of the unknown field, as pydantic gives it.
    """
    parts = [part for part in location if isinstance(part, str)]
    unknown, parents = parts[-1], _models_on(model, parts[:-1])
    beside = [name for name, _ in _fields(parents[-1])]
    camel = to_camel(unknown) if "_" in unknown else unknown
    names = (camel, _ELSEWHERE_IN_CAMEL_CASE.get(camel, camel))
    for name in names:
        if name in beside:
            return name
    for name in names:
        if place := _place(parents, parts, name):
            return place
    return meant_word(unknown, beside)


def meant_word(word: str, words: Iterable[str]) -> str | None:
    """The one of `words` that `word` is a misspelling of, or the same in another case."""
    by_lower = {other.lower(): other for other in words}
    found = get_close_matches(word.lower(), by_lower, n=1, cutoff=CLOSE)
    return by_lower[found[0]] if found else None


def _place(parents: list[type[ApiModel]], parts: list[str], name: str) -> str | None:
    """Path of the field `name` that is nearest to the model it was looked for in: below it, else below a parent."""
    for depth in range(len(parents) - 1, -1, -1):
        if path := next((path for path in _paths(parents[depth]) if path[-1] == name), None):
            return ".".join((*parts[:depth], *path))
    return None


def _models_on(model: type[ApiModel], parts: Sequence[str]) -> list[type[ApiModel]]:
    """The models from the root to the one that `parts` lead to."""
    models = [model]
    for part in parts:
        children = dict(_fields(models[-1]))
        if part not in children or not children[part]:
            break
        models.append(children[part][0])
    return models


def _paths(model: type[ApiModel]) -> Iterator[tuple[str, ...]]:
    """Paths of all fields below a model, the shallow ones first."""
    level: list[tuple[tuple[str, ...], type[ApiModel]]] = [((), model)]
    while level:
        below = []
        for path, owner in level:
            for name, children in _fields(owner):
                yield (*path, name)
                below += [((*path, name), child) for child in children]
        level = below


def _fields(model: type[ApiModel]) -> Iterator[tuple[str, list[type[ApiModel]]]]:
    """JSON name of each field, and the models it may hold; the status is no place to write to."""
    for name, field in model.model_fields.items():
        alias = field.alias or name
        if alias != "status":
            yield alias, [child for owner, child in child_models(model) if owner == alias]
