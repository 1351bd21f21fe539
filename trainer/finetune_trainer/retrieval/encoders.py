"""Sentence encoders: texts to L2-normalised vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from finetune_api.common import UriReference
from finetune_api.encoder import OTHER_ENCODER, encoder_problem
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.workspace.storage import model_folder

Vectors = npt.NDArray[np.float32]
_LONGEST = 512
_REMEDY = f"{OTHER_ENCODER[0].upper()}{OTHER_ENCODER[1:]}."


class Encoder(Protocol):
    """Turns texts into vectors whose inner product is their similarity (cosine)."""

    dimension: int

    def fit(self, texts: Sequence[str]) -> None:
        """Learn what is to be known about the texts that will be indexed."""
        ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """(n, dimension) float32 of length 1 (0 for a text without content)."""
        ...


class TransformerEncoder:
    """Mean of the last hidden states over the tokens of a text, as sentence-transformers does by default."""

    def __init__(self, reference: UriReference, field: str) -> None:
        """`field` is the path of the setting, for messages.

        Raises:
            BadConfiguration: if there is no such folder or it holds no encoder and tokenizer.
        """
        import torch
        from transformers import AutoModel, AutoTokenizer

        folder = model_folder(reference.uri, f"{field}.uri")
        other = encoder_problem(folder, f"{field}.uri")
        if other is not None:
            raise BadConfiguration(other.reason, f"{other.field}: {other.message}", "Correct the manifest.")
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._model = AutoModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise BadConfiguration(
                "EncoderNotReadable",
                f"{field}: {folder} cannot be loaded as an encoder: {str(error).strip().splitlines()[0]}",
                _REMEDY,
            ) from error
        self._model.eval().requires_grad_(requires_grad=False)
        if self._tokenizer.pad_token is None:
            raise BadConfiguration(
                "EncoderNotReadable", f"{field}: the tokenizer of {folder} has no padding token", _REMEDY
            )
        self._tokenizer.padding_side = "right"
        limits = (self._tokenizer.model_max_length, getattr(self._model.config, "max_position_embeddings", None))
        self._longest = min(_LONGEST, *(limit for limit in limits if limit))
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model.to(self._device)
        self.dimension = int(self._model.config.hidden_size)

    def fit(self, texts: Sequence[str]) -> None:
        """Nothing: it is trained already."""

    def encode(self, texts: Sequence[str], batch_size: int = 64) -> Vectors:
        """See Encoder; texts of like length share a batch."""
        import torch
        from torch.nn.functional import normalize

        vectors = np.zeros((len(texts), self.dimension), np.float32)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            inputs = self._tokenizer(
                [texts[i] for i in rows], padding=True, truncation=True, max_length=self._longest, return_tensors="pt"
            ).to(self._device)
            with torch.inference_mode():
                hidden = self._model(
                    input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
                ).last_hidden_state
            weight = inputs["attention_mask"][..., None].to(hidden.dtype)
            mean = (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)
            vectors[rows] = normalize(mean, dim=-1).cpu().numpy()
        return vectors
