"""The stream of global batches: a curriculum over arms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from finetune_api.micro_batch import largest_divisor
from finetune_api.training import Curriculum as CurriculumSettings
from finetune_trainer.batching.interface import ArmExamples, ArmState, StepBatch
from finetune_trainer.batching.layout import Layout
from finetune_trainer.batching.stream import ArmStream
from finetune_trainer.curriculum import Curriculum, Feedback, choose
from finetune_trainer.errors import BadData
from finetune_trainer.hashing import keyed_uniform

_PROBE_SHARE = 8
"""A reward is measured on 1/8 of a global batch."""


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A batch before it is cut: sample indices by row."""

    arm: str
    rows: list[list[int]]
    probe: list[list[int]] | None


class MixtureSource:
    """Draws one arm per step, and that arm's next global batch: the same on every rank.

    The arm is a function of (seed, step, probabilities), the rows of the arm's own counter; a step that earns a reward
    carries a probe: fresh examples of the same arm from a stream of their own (SelfPredictionGain), or every
    eighth row of the batch itself (PredictionGain).
    """

    def __init__(
        self,
        arms: Mapping[str, ArmExamples],
        curriculum: Curriculum,
        settings: CurriculumSettings,
        layout: Layout,
        seed: int,
    ) -> None:
        """`arms` in the order of the curriculum's.

        Raises:
            BadData: if an arm has no examples.
        """
        for name, arm in arms.items():
            if len(arm.examples) == 0:
                raise BadData(
                    "NoExamples",
                    f"objective {name} has no training examples that fit into {layout.row_length} tokens",
                    "Check the source's rows in the prepare report, or raise batch.sequenceLength.",
                )
        self.curriculum = curriculum
        self._arms = arms
        self._settings = settings
        self._seed = seed
        self._streams = {name: ArmStream(arm.examples, seed, f"train/{name}") for name, arm in arms.items()}
        self._probes = {name: ArmStream(arm.examples, seed, f"probe/{name}") for name, arm in arms.items()}
        self._drawn: _Drawn | None = None
        self._use(layout)

    def draw(self, step: int) -> StepBatch:
        """See BatchSource."""
        name = choose(self.curriculum, keyed_uniform(f"{self._seed}/arm/{step}"))
        rows = self._streams[name].draw(self._layout)
        self._drawn = _Drawn(name, rows, self._probe_rows(name, rows) if self._is_measured(step) else None)
        return self._cut(self._drawn)

    @property
    def micro_batch(self) -> int:
        """See BatchSource."""
        return self._layout.micro_batch

    def recut(self, micro_batch: int) -> StepBatch:
        """See BatchSource."""
        if self._drawn is None:
            raise RuntimeError("there is no batch yet")
        self._use(replace(self._layout, micro_batch=micro_batch))
        return self._cut(self._drawn)

    def _use(self, layout: Layout) -> None:
        self._layout = layout
        rows = max(layout.world_size, layout.rows // _PROBE_SHARE // layout.world_size * layout.world_size)
        micro_batch = largest_divisor(rows // layout.world_size, layout.micro_batch)
        self._probe_layout = replace(layout, rows=rows, micro_batch=micro_batch)

    def _cut(self, drawn: _Drawn) -> StepBatch:
        arm, layout, rows = self._arms[drawn.arm], self._layout, drawn.rows
        samples = [sample for row in rows for sample in row]
        lengths = arm.examples.lengths[samples]
        row_tokens = layout.rows * layout.row_length
        return StepBatch(
            arm=drawn.arm,
            micro_batches=layout.batches(arm, rows),
            loss_units=int(arm.examples.loss_units[samples].sum()),
            row_tokens=row_tokens,
            padding_tokens=row_tokens - int(lengths.sum()),
            squared_lengths=int((lengths**2).sum()),
            examples=len(samples),
            probe=() if drawn.probe is None else self._probe_layout.batches(arm, drawn.probe),
        )

    def _is_measured(self, step: int) -> bool:
        return self.curriculum.learns and step % self._settings.update_every_steps == 0

    def _probe_rows(self, name: str, rows: list[list[int]]) -> list[list[int]]:
        layout = self._probe_layout
        if self._settings.reward == "PredictionGain":
            # Packing puts the longest examples into the first rows, so the probe takes rows from all over the batch.
            return rows[:: len(rows) // layout.rows][: layout.rows]
        return self._probes[name].draw(layout)

    def feedback(self, arm: str, loss: float, reward: float | None) -> None:
        """See BatchSource."""
        self.curriculum.observe(Feedback(arm, loss, reward))

    def validated(self, losses: Mapping[str, float]) -> None:
        """See BatchSource."""
        self.curriculum.validated(losses)

    def arms(self) -> dict[str, ArmState]:
        """See BatchSource."""
        rewards = self.curriculum.rewards()
        return {
            name: ArmState(probability, rewards.get(name))
            for name, probability in self.curriculum.probabilities().items()
        }

    def state_dict(self) -> dict[str, Any]:
        """See BatchSource."""
        return {
            "curriculum": self.curriculum.state_dict(),
            "streams": {name: stream.state_dict() for name, stream in self._streams.items()},
            "probes": {name: stream.state_dict() for name, stream in self._probes.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See BatchSource."""
        self.curriculum.load_state_dict(state["curriculum"])
        for name, stream in self._streams.items():
            stream.load_state_dict(state["streams"][name])
        for name, stream in self._probes.items():
            stream.load_state_dict(state["probes"][name])
