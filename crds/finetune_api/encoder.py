"""Folders of sentence encoders: what lint and the trainer can tell from the config alone."""

from __future__ import annotations

import json
from pathlib import Path

from finetune_api.problems import Problem

ENCODER_FIELD = "spec.adapt.prompts.retrieval.encoder.uri"
OTHER_ENCODER = (
    "give a folder of a sentence encoder as transformers saves it, with its tokenizer; or remove encoder for character "
    "n-grams"
)
_GENERATORS = ("ForCausalLM", "LMHeadModel")


def encoder_problem(folder: Path, field: str = ENCODER_FIELD) -> Problem | None:
    """Why a folder that is there holds no sentence encoder; None if it may hold one, or its config cannot be read.

    The mean hidden state of a language model says little of what a text means, and an encoder-decoder needs more than a
    text.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(config, dict):
        return None
    names = [str(name) for name in config.get("architectures") or () if str(name).endswith(_GENERATORS)]
    if not config.get("is_encoder_decoder") and not names:
        return None
    kind = "an encoder-decoder" if config.get("is_encoder_decoder") else f"a language model ({names[0]})"
    return Problem(field, f"{folder} is {kind}, not a sentence encoder: {OTHER_ENCODER}", "NotAnEncoder")
