"""Numbers of a head's labels."""

from __future__ import annotations

from collections.abc import Sequence

from finetune_trainer.errors import BadData


class LabelNumbers:
    """Numbers of a head's labels."""

    def __init__(self, labels: Sequence[str], source: str) -> None:
        """`source` is that of the rows, for messages."""
        self._numbers = {label: number for number, label in enumerate(labels)}
        self._source = source

    def __len__(self) -> int:
        return len(self._numbers)

    def of(self, labels: Sequence[str]) -> list[int]:
        """Numbers of some labels.

        Raises:
            BadData: if the head does not know one. prepare looks for them, but not where its data are another job's.
        """
        unseen = next((label for label in labels if label not in self._numbers), None)
        if unseen is not None:
            raise BadData(
                "UnseenLabels",
                f"source '{self._source}': a row of its validation split has the label {unseen}, which its training "
                "split has not",
                "Give training rows with this label, or remove it; then run prepare anew.",
            )
        return [self._numbers[label] for label in labels]
