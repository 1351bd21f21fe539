"""What the files of a pretrained model say of it, read without loading it, and which settings do not fit it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from finetune_api.adapt import ALL_LINEAR, Adapt
from finetune_api.evaluate import EvaluationTask
from finetune_api.gguf_file import CHAT_TEMPLATE, GgufError, is_gguf, read_gguf
from finetune_api.gguf_model import config_of_gguf, tokens_of_gguf, unreadable
from finetune_api.job import FineTuneJobSpec
from finetune_api.model import LINEAR_LAYERS
from finetune_api.problems import Problem
from finetune_api.registries import METHODS, TASKS, templates_of
from finetune_api.registry_rows import LANGUAGE_MODEL
from finetune_api.training import Batch

_FUSED = ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")
_SEPARATE = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
_GPT2 = ("c_attn", "c_proj", "c_fc")
LAYERS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("cohere", "cohere2", "ernie4_5", "gemma", "gemma2", "gemma3_text", "granite", "helium", "llama", "mistral",
         "olmo", "olmo2", "olmo3", "qwen2", "qwen3", "seed_oss", "smollm3", "stablelm"),
        LINEAR_LAYERS,
    ),
    **dict.fromkeys(("bloom", "falcon", "gpt_neox", "persimmon"), _FUSED),
    **dict.fromkeys(("gpt2", "gpt_bigcode"), _GPT2),
    **dict.fromkeys(("opt", "xglm"), _SEPARATE),
    "apertus": ("q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj"),
    "arcee": ("q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj"),
    "codegen": ("qkv_proj", "out_proj", "fc_in", "fc_out"),
    "glm": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_up_proj", "down_proj"),
    "gpt_neo": ("q_proj", "k_proj", "v_proj", "out_proj", "c_fc", "c_proj"),
    "gptj": ("q_proj", "k_proj", "v_proj", "out_proj", "fc_in", "fc_out"),
    "mpt": ("Wqkv", "out_proj", "up_proj", "down_proj"),
    "phi": ("q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"),
    "phi3": ("qkv_proj", "o_proj", "gate_up_proj", "down_proj"),
    "starcoder2": ("q_proj", "k_proj", "v_proj", "o_proj", "c_fc", "c_proj"),
}  # fmt: skip
"""Linear layers of a block, by `model_type` of config.json; of other architectures only the trainer knows them."""
OUTPUT_LAYERS = ("lm_head", "project_in", "project_out")
"""Layers outside the blocks; whether a model has them is seen when it is built."""
ENCODERS = frozenset(
    {
        "albert",
        "bert",
        "camembert",
        "convbert",
        "deberta",
        "deberta-v2",
        "distilbert",
        "electra",
        "ernie",
        "eurobert",
        "longformer",
        "mobilebert",
        "modernbert",
        "mpnet",
        "nomic_bert",
        "roberta",
        "xlm-roberta",
        "xlm-roberta-xl",
    }
)
"""`model_type` of models whose tokens see those after them: they fill gaps and carry heads, and cannot write."""
_AFTER_PADDING = frozenset({"camembert", "mpnet", "roberta", "xlm-roberta", "xlm-roberta-xl"})
"""Those whose positions begin behind the number of the padding token, so that so many of them are never used."""
_CONTEXT = ("max_position_embeddings", "n_positions")
_WIDTH = ("hidden_size", "n_embd", "d_model")
_LAYERS = ("num_hidden_layers", "n_layer", "num_layers")
_NAMED = 3
"""Tokens of one message."""
_MOST_LABELS = 10
"""Of one message."""


@dataclass(frozen=True, slots=True)
class PretrainedModel:
    """What is known of a model before it is loaded; None where its files do not say."""

    architecture: str | None = None
    """`model_type` of config.json."""
    context_length: int | None = None
    """Most tokens of a row."""
    embeddings: int | None = None
    """Rows of the embedding matrix."""
    hidden: int | None = None
    """Width of its layers."""
    layers: int | None = None
    """Decoder layers."""
    head: str | None = None
    """Class of transformers for the head that it was saved with; None if it was saved as its body alone."""
    labels: tuple[str, ...] = ()
    """Names of that head's outputs, by number."""
    has_label_sets: bool = False
    """Whether that head gives a text any number of labels."""
    tied: bool | None = None
    """Whether the output layer is the input embedding; None where the model's family decides."""
    has_chat_template: bool | None = None
    """Of its tokenizer."""
    tokens: tuple[str, ...] = ()
    """Of its tokenizer, by number, added ones included."""
    unreadable: tuple[str, ...] = ()
    """Why this version cannot read its file; of a GGUF file."""

    @property
    def is_encoder(self) -> bool:
        """Whether it is known to be one."""
        return self.architecture in ENCODERS

    @property
    def linear_layers(self) -> tuple[str, ...] | None:
        """Of one block."""
        return LAYERS.get(self.architecture or "")


def read_pretrained(path: Path, *, and_tokenizer: bool = False) -> PretrainedModel | None:
    """What the files of a model say, or None if it has no readable config.json.

    Args:
        path: of a folder as transformers saves a model, or of one GGUF file.
        and_tokenizer: also read tokenizer.json, which takes up to half a second.
    """
    if is_gguf(path):
        return _read_gguf_model(path)
    config = read_config(path)
    if config is None:
        return None
    tokens = _tokens(_read_object(path / "tokenizer.json") or {}) if and_tokenizer else ()
    return replace(_model_of_config(config), tokens=tokens, has_chat_template=_has_chat_template(path))


def read_config(path: Path) -> dict[str, Any] | None:
    """The config.json of a model's folder, or what it would be for a GGUF file; None if there is none to read."""
    if not is_gguf(path):
        return _read_object(path / "config.json")
    try:
        return config_of_gguf(read_gguf(path))
    except (OSError, GgufError):
        return None


def _read_gguf_model(path: Path) -> PretrainedModel | None:
    try:
        file = read_gguf(path)
    except GgufError as error:
        return PretrainedModel(unreadable=(str(error),))
    except OSError:
        return None
    return replace(
        _model_of_config(config_of_gguf(file)),
        tokens=tokens_of_gguf(file),
        has_chat_template=bool(file.metadata.get(CHAT_TEMPLATE)),
        unreadable=tuple(unreadable(file)),
    )


def _model_of_config(config: Mapping[str, Any]) -> PretrainedModel:
    text = config.get("text_config")
    sizes = text if isinstance(text, dict) else config
    return PretrainedModel(
        architecture=str(config["model_type"]) if "model_type" in config else None,
        context_length=positions_of(sizes),
        head=_head(config),
        labels=_labels(config),
        has_label_sets=config.get("problem_type") == "multi_label_classification",
        embeddings=_size(sizes, "vocab_size"),
        layers=next(filter(None, (_size(sizes, key) for key in _LAYERS)), None),
        tied=sizes["tie_word_embeddings"] if isinstance(sizes.get("tie_word_embeddings"), bool) else None,
        hidden=next(filter(None, (_size(sizes, key) for key in _WIDTH)), None),
    )


def positions_of(config: Mapping[str, Any]) -> int | None:
    """Most tokens of a row, by a model's configuration; None if there is no limit, or it is not told."""
    positions = next(filter(None, (_size(config, key) for key in _CONTEXT)), None)
    if positions is None or config.get("model_type") not in _AFTER_PADDING:
        return positions
    padding = config.get("pad_token_id")
    return positions - (padding if isinstance(padding, int) else 1) - 1


_HEADS = {
    "ForCausalLM": LANGUAGE_MODEL,
    "LMHeadModel": LANGUAGE_MODEL,
    "ForSequenceClassification": "AutoModelForSequenceClassification",
    "ForTokenClassification": "AutoModelForTokenClassification",
    "ForQuestionAnswering": "AutoModelForQuestionAnswering",
}
"""By the end of a class name of transformers."""


def _head(config: Mapping[str, Any]) -> str | None:
    classes = config.get("architectures")
    names = [str(name) for name in classes] if isinstance(classes, list) else []
    return next((head for name in names for end, head in _HEADS.items() if name.endswith(end)), None)


def _labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    names = config.get("id2label")
    if not isinstance(names, dict) or not all(str(number).isdecimal() for number in names):
        return ()
    return tuple(str(names[number]) for number in sorted(names, key=int))


def head_problem(model: PretrainedModel, labels: Sequence[str], *, has_label_sets: bool) -> str | None:
    """Why the head that a model has cannot go on with the labels of some data, in words; None if it can."""
    if set(labels) != set(model.labels):
        return (
            f"the model has a head for the labels {_listed(model.labels)}, and the training split has "
            f"{_listed(sorted(labels))}"
        )
    if model.head == "AutoModelForSequenceClassification" and model.has_label_sets != has_label_sets:
        own, given = ("any number of labels", "one label")[:: 1 if model.has_label_sets else -1]
        return f"the model has a head that gives a text {own}, and the data have {given} a text"
    return None


def _listed(labels: Sequence[str]) -> str:
    more = len(labels) - _MOST_LABELS
    return ", ".join(labels[:_MOST_LABELS]) + (f" and {more} more" if more > 0 else "")


def adapter_problem(folder: Path, field: str) -> Problem | None:
    """What is wrong with a folder that holds an adapter and no model."""
    adapter = _read_object(folder / "adapter_config.json")
    if adapter is None or (folder / "config.json").is_file():
        return None
    base = adapter.get("base_model_name_or_path") or "another model"
    return Problem(
        field,
        f"{folder} holds an adapter of {base}, and no model: give the folder of the merged model (an artifact of "
        "adapt is one, with its adapter in adapter/), or merge them: "
        "PeftModel.from_pretrained(base, adapter).merge_and_unload()",
        "AdapterWithoutBase",
    )


def _has_chat_template(folder: Path) -> bool | None:
    """None where there is no tokenizer to ask."""
    settings = _read_object(folder / "tokenizer_config.json")
    if (folder / "chat_template.jinja").is_file() or (settings or {}).get("chat_template"):
        return True
    return None if settings is None else False


def _read_object(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _size(config: Mapping[str, Any], key: str) -> int | None:
    value = config.get(key)
    return value if isinstance(value, int) and value > 0 else None


def _tokens(tokenizer: Mapping[str, Any]) -> tuple[str, ...]:
    """The tokens of a tokenizer.json, in the order of their numbers; none where it is not as expected."""
    try:
        vocabulary = tokenizer["model"]["vocab"]
        pairs = vocabulary.items() if isinstance(vocabulary, dict) else ((t, i) for i, (t, _) in enumerate(vocabulary))
        numbers = {str(token): int(number) for token, number in pairs}
        numbers |= {str(added["content"]): int(added["id"]) for added in tokenizer.get("added_tokens") or ()}
    except (KeyError, TypeError, ValueError, AttributeError):
        return ()
    return tuple(sorted(numbers, key=numbers.__getitem__))


def fit_to_context(spec: FineTuneJobSpec, context_length: int | None) -> FineTuneJobSpec:
    """`spec` with the sequence lengths that it leaves open filled in for a model of this context.

    `context_length` is None where the model has no limit, or nobody knows it. A model from scratch has its own.
    """
    if spec.model.scratch is not None:
        context_length = spec.model.scratch.context_length
    fitted = {
        name: block.model_copy(update={"batch": block.batch.fit(context_length)})
        for name, block in (("pretrain", spec.pretrain), ("adapt", spec.adapt))
        if block is not None
    }
    return spec.model_copy(update=fitted)


def conflicts_with_model(spec: FineTuneJobSpec, model: PretrainedModel) -> list[Problem]:
    """Settings of `spec` that the pretrained model which it starts from cannot have; as far as its files say."""
    return list(_unreadable_file(model)) or [
        *_without_the_head(spec, model),
        *_too_long(spec, model),
        *_undivided(spec, model),
        *_unknown_targets(spec, model),
        *_too_large_rank(spec, model),
        *_without_the_part(spec, model),
        *_without_chat(spec, model),
        *_too_many_tokens(model),
    ]


def _unreadable_file(model: PretrainedModel) -> Iterator[Problem]:
    for reason in model.unreadable:
        yield Problem(
            "spec.model.from.uri",
            f"this GGUF file cannot be read: {reason}. Give the model as a folder with config.json and safetensors",
            "ModelNotReadable",
        )


def _without_the_head(spec: FineTuneJobSpec, model: PretrainedModel) -> Iterator[Problem]:
    """Asked to write what cannot write, or tested with a head that nobody trains."""
    asked = [("spec.adapt.task.type", spec.adapt.task.type)] if spec.adapt is not None else []
    tested = [(f"spec.evaluate.tasks[{i}].type", task.type) for i, task in enumerate(_tests(spec))]
    if model.is_encoder and spec.pretrain is not None:
        yield Problem(
            "spec.pretrain",
            f"{_an_encoder(model)}, and pre-training predicts the next token: give a causal language model",
            NOT_CAUSAL,
        )
    for field, task in asked or tested:
        if model.is_encoder and TASKS[task].generates:
            able = ", ".join(name for name, row in TASKS.items() if row.implementation and not row.generates)
            yield Problem(
                field, f"{_an_encoder(model)}, which cannot write: give a causal language model, or a task of {able}",
                NOT_CAUSAL,
            )  # fmt: skip
        elif TASKS[task].needs_encoder and model.architecture is not None and not model.is_encoder:
            yield Problem(
                field,
                f"{task} needs an encoder such as BERT or RoBERTa, whose tokens see those after them, and the model is "
                f"{model.architecture}: give one, or use QuestionAnswering",
                NOT_ENCODER,
            )
        elif not asked and TASKS[task].model_class != (model.head or TASKS[task].model_class):
            yield Problem(
                field,
                f"the model was saved with another head ({model.head}) than {task} needs: add an adapt block, or give "
                "a model that was trained for it",
                WRONG_HEAD,
            )


NOT_CAUSAL, NOT_ENCODER, WRONG_HEAD = "NotCausal", "NotAnEncoder", "WrongHead"


def _tests(spec: FineTuneJobSpec) -> Sequence[EvaluationTask]:
    return spec.evaluate.tasks if spec.evaluate is not None else ()


def _an_encoder(model: PretrainedModel) -> str:
    return f"the model is an encoder ({model.architecture})"


def _batches(spec: FineTuneJobSpec) -> Iterator[tuple[str, Batch]]:
    if spec.pretrain is not None:
        yield "pretrain", spec.pretrain.batch
    if spec.adapt is not None:
        yield "adapt", spec.adapt.batch


def _too_long(spec: FineTuneJobSpec, model: PretrainedModel) -> Iterator[Problem]:
    for stage, batch in _batches(spec):
        longest = model.context_length
        if longest is not None and batch.sequence_length is not None and batch.sequence_length > longest:
            yield Problem(f"spec.{stage}.batch.sequenceLength", too_long(batch.sequence_length, longest))


def too_long(sequence_length: int, positions: int) -> str:
    """In words: rows are longer than the model's context."""
    return f"{sequence_length:,} exceeds the model's {positions:,} positions: use at most {positions}"


def _undivided(spec: FineTuneJobSpec, model: PretrainedModel) -> Iterator[Problem]:
    """Where the length is given, a rule of the API says so."""
    for stage, batch in _batches(spec):
        if batch.sequence_length is not None:
            continue
        length = batch.fit(model.context_length).tokens_per_row
        parallelism = spec.parallelism
        rows = parallelism.nodes * parallelism.processes_per_node
        rows *= batch.micro_batch if batch.micro_batch != "Auto" else 1
        if batch.global_tokens % (length * rows):
            yield Problem(
                f"spec.{stage}.batch.globalTokens",
                f"{batch.global_tokens} is not a multiple of {length * rows}: rows of this model have {length} tokens, "
                f"and nodes x processesPerNode x microBatch is {rows}; give another one, or sequenceLength",
            )


def _unknown_targets(spec: FineTuneJobSpec, model: PretrainedModel) -> Iterator[Problem]:
    layers = model.linear_layers
    if spec.adapt is None or layers is None or not METHODS[spec.adapt.method].adapter:
        return
    for index, target in enumerate(spec.adapt.lora.targets):
        if target not in (*layers, *OUTPUT_LAYERS, ALL_LINEAR):
            yield Problem(
                f"spec.adapt.lora.targets[{index}]",
                f"a {model.architecture} model has no linear layer named {target}: use {ALL_LINEAR}, or some of "
                f"{', '.join(layers)}",
                "UnknownLoraTarget",
            )


def _too_large_rank(spec: FineTuneJobSpec, model: PretrainedModel) -> Iterator[Problem]:
    if spec.adapt is not None and METHODS[spec.adapt.method].adapter and model.hidden is not None:
        yield from rank_problems(spec.adapt.lora.rank, model.hidden)


def _without_the_part(spec: FineTuneJobSpec, model: PretrainedModel) -> Iterator[Problem]:
    """Parts of the model that a method trains and that it has not got."""
    if spec.adapt is None:
        return
    if spec.adapt.method == "TopLayers" and model.layers is not None:
        yield from top_layers_problems(spec.adapt.top_layers, model.layers)
    if spec.adapt.method == "HeadOnly" and model.tied and TASKS[spec.adapt.task.type].generates:
        yield Problem(
            "spec.adapt.method",
            f"HeadOnly trains the output layer, and that of this {model.architecture} model is its input embedding "
            "(tie_word_embeddings in config.json): use TopLayers or LoRA",
            "NoHeadOfItsOwn",
        )


def _without_chat(spec: FineTuneJobSpec, model: PretrainedModel) -> Iterator[Problem]:
    if spec.adapt is not None and spec.adapt.prompts.template == "Chat" and model.has_chat_template is False:
        yield no_chat_template(
            spec.adapt, "the tokenizer of the model has no chat template (chat_template in tokenizer_config.json)"
        )


def no_chat_template(adapt: Adapt, reason: str) -> Problem:
    """Chat is the template of the model's own tokenizer."""
    others = "use Plain" if "Plain" in templates_of(adapt.task.type) else "use another, such as AdaptiveMT or ALMA"
    return Problem("spec.adapt.prompts.template", f"{reason}: {others}", "NoChatTemplate")


def top_layers_problems(top_layers: int, layers: int) -> Iterator[Problem]:
    """More layers than a model has."""
    if top_layers > layers:
        yield Problem(
            "spec.adapt.topLayers",
            f"{top_layers} exceeds the {layers} layers of the model: use at most {layers}, or method: FixEmbeddings",
            "TooManyLayers",
        )


def rank_problems(rank: int, hidden: int) -> Iterator[Problem]:
    """A rank that no matrix of a model has: its update would be larger than what it updates."""
    if rank > hidden:
        yield Problem(
            "spec.adapt.lora.rank",
            f"{rank} exceeds the width of the model ({hidden}), so the update would be larger than the weights it "
            f"updates: use at most {hidden}, or method: Full",
            "RankTooLarge",
        )


def _too_many_tokens(model: PretrainedModel) -> Iterator[Problem]:
    if model.embeddings is not None and len(model.tokens) > model.embeddings:
        message, remedy = too_many_tokens(len(model.tokens), model.embeddings, model.tokens[model.embeddings :])
        yield Problem("spec.model.from.uri", f"{message}. {remedy}", "TokenizerMismatch")


def too_many_tokens(tokens: int, embeddings: int, lacking: Sequence[str]) -> tuple[str, str]:
    """What is wrong where tokens have no embedding, and what to do.

    Args:
        tokens: of the tokenizer.
        embeddings: of the model.
        lacking: the tokens without an embedding.
    """
    more = len(lacking) - _NAMED
    names = [*lacking[:_NAMED], f"{more:,} more"] if more > 0 else lacking
    message = (
        f"the tokenizer has {tokens:,} tokens, the model {embeddings:,} embeddings: "
        f"{', '.join(names)} {'has' if len(lacking) == 1 else 'have'} none"
    )
    remedy = (
        "Use the tokenizer that the model was trained with, or give the new tokens embeddings in its folder: "
        f"model.resize_token_embeddings({tokens}); model.save_pretrained(folder)."
    )
    return message, remedy
