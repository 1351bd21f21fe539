"""The tokenizer of a pretrained model, and whether it belongs to data and weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from finetune_api.pretrained import too_many_tokens
from finetune_trainer.errors import BadConfiguration

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast


class Vocabulary(Protocol):
    """What of a tokenizer decides whether it fits a model."""

    def __len__(self) -> int:
        """Tokens, added ones included."""
        ...

    def convert_ids_to_tokens(self, ids: list[int]) -> str | list[str]:
        """See transformers."""
        ...


TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")


def load_tokenizer(folder: Path, field: str) -> PreTrainedTokenizerFast:
    """The tokenizer in a model's folder.

    Args:
        folder: of the model.
        field: where the manifest names the model, for messages.

    Raises:
        BadConfiguration: if there is none, or none that can be used.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise BadConfiguration(
            "TokenizerNotFound",
            f"{field}: {folder} has no tokenizer (no {' or '.join(TOKENIZER_FILES[:2])})",
            "Save the tokenizer that the model was trained with into the same folder.",
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # noqa: BLE001 - the Rust core raises bare Exceptions for a broken tokenizer.json
        reason = (str(error).strip().splitlines() or [""])[0]
        raise BadConfiguration(
            "TokenizerNotUsable",
            f"{field}: the tokenizer of {folder} cannot be loaded: {type(error).__name__}: {reason}",
            "Save the tokenizer again as transformers does.",
        ) from None
    ends = (getattr(tokenizer, name, None) for name in ("eos_token_id", "sep_token_id"))
    if not isinstance(tokenizer, PreTrainedTokenizerFast) or all(end is None for end in ends):
        raise BadConfiguration(
            "TokenizerNotUsable",
            f"{field}: the tokenizer of {folder} is not a fast one with a token that ends a text",
            "Save it as tokenizer.json, with eos_token (of encoders sep_token) in tokenizer_config.json.",
        )
    return tokenizer


def check_vocabulary(folder: Path, field: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse data that was tokenised by `tokenizer` for another model than the one in `folder`.

    Raises:
        BadConfiguration: if the folder has no tokenizer, or another vocabulary.
    """
    own = load_tokenizer(folder, field)
    if own.get_vocab() != tokenizer.get_vocab():
        raise BadConfiguration(
            "TokenizerMismatch",
            f"the data was tokenised with another tokenizer than that of the model in {folder} "
            f"({len(tokenizer):,} and {len(own):,} tokens)",
            "Run prepare again with this model's own tokenizer (model.tokenizer.from: model).",
        )


def check_fit(model: PreTrainedModel, tokenizer: Vocabulary, sequence_length: int | None = None) -> None:
    """Refuse a tokenizer, or rows, that the model was not made for.

    Raises:
        BadConfiguration: if a token has no embedding, or a row has more tokens than positions.
    """
    check_tokens(tokenizer, int(model.config.vocab_size))
    longest = getattr(model.config, "max_position_embeddings", None)
    if longest is not None and sequence_length is not None and sequence_length > longest:
        raise BadConfiguration(
            "SequenceTooLong",
            f"batch.sequenceLength {sequence_length:,} exceeds the model's {longest:,} positions",
            f"Use at most {longest}.",
        )


def check_tokens(tokenizer: Vocabulary, embeddings: int) -> None:
    """Refuse a tokenizer with more tokens than a model has `embeddings`.

    Raises:
        BadConfiguration: if it has.
    """
    if len(tokenizer) > embeddings:
        lacking = tokenizer.convert_ids_to_tokens(list(range(embeddings, len(tokenizer))))
        raise BadConfiguration(
            "TokenizerMismatch", *too_many_tokens(len(tokenizer), embeddings, [str(token) for token in lacking])
        )
