"""New models."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook
from transformers import MistralConfig, MistralForCausalLM, PreTrainedModel

from finetune_api.model import ScratchModel
from finetune_trainer.models.placement import ON_CPU, Placement


def scratch_model(spec: ScratchModel, tokenizer: object, seed: int, placement: Placement = ON_CPU) -> PreTrainedModel:
    """A Mistral with random weights (normal, standard deviation 0.02), equal on every rank; collective if partitioned.

    Weights are drawn in float32 on the CPU, whatever their place, and in the order of transformers' own constructor, so
    the seed alone decides about them. Each layer goes to its place before the next one is drawn. Under
    `deepspeed.zero.Init` the library's initialisation would silently not happen.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _build(scratch_config(spec, tokenizer), placement)
    model.set_attn_implementation("sdpa")
    return model


def _build(config: MistralConfig, placement: Placement) -> PreTrainedModel:
    def constructed(_: nn.Module, __: str, child: nn.Module) -> None:
        if isinstance(child, PreTrainedModel):
            _initialise(child, placement)
        else:
            _forget(child)

    hook = register_module_module_registration_hook(constructed)
    try:
        model = MistralForCausalLM(config)
    finally:
        hook.remove()
    _initialise(model, placement)
    return model


def _forget(module: nn.Module) -> None:
    """Keep no more than the shapes of what torch's constructors have drawn, which is never used."""
    for name, parameter in module.named_parameters(recurse=False):
        setattr(module, name, nn.Parameter(parameter.detach().to("meta")))


@torch.no_grad()
def _initialise(model: PreTrainedModel, placement: Placement) -> None:
    """Draw the weights that have shapes alone, from the innermost modules outwards, as transformers does."""
    for module in _innermost_first(model):
        shapes = {name: value for name, value in module.named_parameters(recurse=False) if value.is_meta}
        if not shapes:
            continue
        for name, shape in shapes.items():
            setattr(module, name, nn.Parameter(torch.empty_like(shape, device="cpu")))
        model._init_weights(module)  # noqa: SLF001 - what transformers calls for each module
        placement.put(module)


def _innermost_first(module: nn.Module) -> list[nn.Module]:
    return [inner for child in module.children() for inner in _innermost_first(child)] + [module]


def scratch_config(spec: ScratchModel, tokenizer: object) -> MistralConfig:
    """Configuration of the new model; `tokenizer` gives the vocabulary and the special tokens."""
    return MistralConfig(
        vocab_size=len(tokenizer),  # type: ignore[arg-type]
        hidden_size=spec.hidden,
        intermediate_size=spec.intermediate_size(),
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.heads,
        num_key_value_heads=spec.kv_heads,
        head_dim=spec.hidden // spec.heads,
        max_position_embeddings=spec.context_length,
        sliding_window=None,
        tie_word_embeddings=spec.tie_embeddings,
        bos_token_id=getattr(tokenizer, "bos_token_id", None),
        eos_token_id=getattr(tokenizer, "eos_token_id", None),
        pad_token_id=getattr(tokenizer, "pad_token_id", None),
        use_cache=False,
    )
