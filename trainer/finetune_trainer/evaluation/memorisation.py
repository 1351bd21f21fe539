"""Whether a model repeats what it was adapted on: it is given the first half of a target, and goes on.

Of any text a model may guess the rest, so the same is asked of held-out targets, and of the baseline: what counts is
how much more often the training targets are continued (after Carlini et al. 2021, who extract by prefixes).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from finetune_api.decoding import Decoding
from finetune_api.evaluate import Memorisation
from finetune_api.job import FineTuneJobSpec
from finetune_api.language_tags import direction_languages
from finetune_api.languages import same_language
from finetune_api.report import CopiedTargets, MemorisationReport
from finetune_trainer.data.lines import one_line
from finetune_trainer.data.prepared import PairSplit, PreparedData
from finetune_trainer.data.sampling import shuffled_rows
from finetune_trainer.data.units import WORDS, Unit, unit_of
from finetune_trainer.decoding import DecodingLimits
from finetune_trainer.prompts import encode_texts
from finetune_trainer.prompts.segments import leading_ids
from finetune_trainer.tasks import System, TestSet

NAME = "memorisation"
_LOOKED_AT = 20
"""Rows that are looked at for each that is wanted: most corpora have one of twenty that is long enough."""
_SPARE = 4
"""Tokens beyond the rest, so that its last word is seen to end."""


def bounds(unit: Unit) -> tuple[int, int]:
    """Shortest and longest targets: short ones are guessed and said by chance, long ones cost too much."""
    return (8, 64) if unit is WORDS else (20, 160)


@dataclass(frozen=True)
class Targets:
    """Sides of pairs that were trained on, and that were not. A Question of the report."""

    source: str
    """Name of the source."""
    language: str
    """Of the targets, as the source calls it."""
    pool: PairSplit
    rows: Sequence[int]
    """Of the pool: what was trained on, in random order."""
    trained: list[str]
    held_out: list[str]

    @property
    def name(self) -> str:
        """See Question."""
        return NAME

    @property
    def size(self) -> int:
        """See Question."""
        return len(self.trained) + len(self.held_out)

    @property
    def notes(self) -> list[str]:
        """What its figures do not show."""
        unit = unit_of(self.language)
        shortest, longest = bounds(unit)
        kinds = (("training", self.trained), ("held-out", self.held_out))
        return [
            f"Memorisation: none of the {kind} targets of '{self.source}' has {shortest} to {longest} {unit.name}."
            for kind, texts in kinds
            if not texts
        ]

    @property
    def halves(self) -> list[tuple[str, str]]:
        """Beginning and rest of each target, those trained on first."""
        unit = unit_of(self.language)
        return [_halves(text, unit) for text in (*self.trained, *self.held_out)]

    def ask(self, system: System) -> list[str]:
        """See Question: the rest of each target, as far as the model goes on with it, and what follows."""
        beginnings, rests = zip(*self.halves, strict=True) if self.size else ((), ())
        start = np.array(leading_ids(system.tokenizer), np.int32)
        prompts = [np.concatenate([start, ids]) for ids in encode_texts(system.tokenizer, beginnings, " ")]
        longest = max((len(ids) for ids in encode_texts(system.tokenizer, rests, " ")), default=0)
        end = system.tokenizer.eos_token_id
        stop_ids = frozenset() if end is None else frozenset([int(end)])
        limits = DecodingLimits(stop_ids, longest + _SPARE, system.context_length)
        # The likeliest rest, whatever the tests are answered with: what was learnt by heart is likeliest.
        return system.answer(prompts, limits, Decoding(), one_line).texts

    def continued(self, outputs: Sequence[str]) -> list[bool]:
        """Whether each output begins with the rest of its target, word by word."""
        unit = unit_of(self.language)
        return [_begins(output, rest, unit) for output, (_, rest) in zip(outputs, self.halves, strict=True)]

    def columns(self, outputs: list[str], baseline: list[str] | None) -> dict[str, list[str]]:
        """What the TSV holds."""
        beginnings, rests = zip(*self.halves, strict=True) if self.size else ((), ())
        kinds = ["trained"] * len(self.trained) + ["held out"] * len(self.held_out)
        columns = {"kind": kinds, "beginning": list(beginnings), "rest": list(rests), "continuation": outputs}
        return columns if baseline is None else columns | {"baseline": baseline}

    def report(
        self,
        outputs: Sequence[str],
        baseline: Sequence[str] | None,
        hypotheses: str,
        copied: list[CopiedTargets],
    ) -> MemorisationReport:
        """Shares of both kinds, of the model and its baseline; `hypotheses` is the path of the TSV."""
        own, held_out = self._shares(outputs)
        before, before_held_out = (None, None) if baseline is None else self._shares(baseline)
        return MemorisationReport(
            source=self.source,
            training_segments=len(self.trained),
            held_out_segments=len(self.held_out),
            hypotheses=hypotheses,
            continued=own,
            held_out_continued=held_out,
            gap=_difference(own, held_out),
            baseline_continued=before,
            baseline_held_out_continued=before_held_out,
            baseline_gap=_difference(before, before_held_out),
            copied=copied,
        )

    def _shares(self, outputs: Sequence[str]) -> tuple[float | None, float | None]:
        found, count = self.continued(outputs), len(self.trained)
        return _share(found[:count]), _share(found[count:])

    def copied(
        self, test_set: TestSet, shots: int, outputs: Sequence[str], baseline: Sequence[str] | None
    ) -> CopiedTargets:
        """Of the outputs that are long enough and not the reference: which share is a training target.

        Of the model, and of the baseline; one pass over the training targets.
        """
        unit = unit_of(self.language)
        own, before = (_candidates(texts, test_set.first_references, unit) for texts in (outputs, baseline or ()))
        targets = self.pool.text(self.language)
        seen = seen_among({*own, *before}, (targets[row] for row in self.rows))
        shares = [_share([text in seen for text in texts]) for texts in (own, before)]
        name = test_set.task.name
        return CopiedTargets(task=name, shots=shots, outputs=len(own), share=shares[0], baseline_share=shares[1])

    def fits(self, test_set: TestSet) -> bool:
        """Whether a test asks for the language of the targets."""
        return test_set.task.type == "Translation" and same_language(test_set.language, self.language)


def open_targets(settings: Memorisation | None, spec: FineTuneJobSpec, data: PreparedData) -> Targets | None:
    """Targets of spec.adapt's source: samples by content of those trained on, and of its test and validation splits."""
    if settings is None or spec.adapt is None or spec.adapt.task.direction is None:
        return None
    adapt, language = spec.adapt, direction_languages(spec.adapt.task.direction)[1]
    unit, pool = unit_of(language), data.pairs(spec.adapt.task.source, "train")
    rows = shuffled_rows(pool.keys, adapt.task.max_examples, adapt.seed)
    trained = _sample(pool, language, rows.tolist(), unit, settings.segments)
    held_out: list[str] = []
    for name in ("test", "validation"):
        split = data.pairs(adapt.task.source, name)
        order = shuffled_rows(split.keys, None, adapt.seed).tolist()
        held_out += _sample(split, language, order, unit, settings.segments - len(held_out))
    return Targets(adapt.task.source, language, pool, rows.tolist(), trained, held_out)


def seen_among(wanted: set[str], targets: Iterable[str]) -> set[str]:
    """Those of the wanted texts that are among the targets, but for white space."""
    return wanted & {text for text in map(_plain, targets) if text in wanted}


def _sample(split: PairSplit, language: str, rows: Sequence[int], unit: Unit, count: int) -> list[str]:
    side = split.text(language)
    texts = (one_line(side[row]) for row in rows[: _LOOKED_AT * count])
    return list(islice((text for text in texts if _is_long_enough(text, unit)), count))


def _is_long_enough(text: str, unit: Unit) -> bool:
    shortest, longest = bounds(unit)
    return shortest <= len(unit.split(text)) <= longest


def _halves(text: str, unit: Unit) -> tuple[str, str]:
    pieces = unit.pieces(text)
    middle = (len(pieces) + 1) // 2
    return unit.joint.join(pieces[:middle]), unit.joint.join(pieces[middle:])


def _begins(output: str, rest: str, unit: Unit) -> bool:
    own, wanted = unit.split(output), unit.split(rest)
    return own[: len(wanted)] == wanted


def _candidates(outputs: Sequence[str], references: Sequence[str], unit: Unit) -> list[str]:
    """Outputs that are long enough and not the reference."""
    pairs = zip(map(_plain, outputs), references, strict=False)
    shortest = bounds(unit)[0]
    return [text for text, reference in pairs if len(unit.split(text)) >= shortest and text != _plain(reference)]


def _plain(text: str) -> str:
    return " ".join(text.split())


def _share(found: Sequence[bool]) -> float | None:
    return sum(found) / len(found) if found else None


def _difference(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second
