"""The terms of a page, for those who do not score models every day."""

from __future__ import annotations

from finetune_api.registries import METRICS
from finetune_api.report import EvaluationReport

Term = tuple[str, str]

_SEGMENT = "One item of the test: a source and its reference, often a sentence."
_REFERENCE = "The answer that the test holds; others may be as right."
_ZERO_SHOT = "The prompt holds the source alone."
_ONE_SHOT = "The prompt holds a solved example before the source: the training pair that is most like it."
_K_SHOT = "The prompt holds so many solved examples before the source: the training pairs most like it, nearest last."
_INTERVAL = """The middle 95 % of the scores of many tests drawn anew from the same segments: how much a score depends
on which segments were chosen. It knows nothing of another training with another seed."""
_BASELINE = "What the model is compared with: the model before its last training, or what the manifest names."
_P = """Roughly how often chance alone would make a difference this clear between two equally good systems; raised,
as Holm (1979) does, because several comparisons were made. A difference counts below the level of the manifest."""
_GATE = "The requirements of the manifest; where one is not met, the job counts as failed."
_LOSS = """How surprised the model is by each token that it should write; a nat is 1.44 bits. Of validation: on rows
that it is not trained on."""
_STEP = "One change of the weights, after a batch of rows."
_MIXTURE = "An arm is an objective on a source and direction; the mixture is the share of the batches that each gets."


def terms(report: EvaluationReport, *, has_curves: bool) -> list[Term]:
    """Terms that stand on the page of this report, each with its meaning."""
    metrics = dict.fromkeys(score.metric for task in report.tasks for score in task.scores)
    shots = {task.shots for task in report.tasks}
    compared = report.baseline is not None or bool(report.rivals)
    return [
        ("Segment", _SEGMENT),
        ("Reference", _REFERENCE),
        *((metric, METRICS[metric].meaning) for metric in metrics if metric in METRICS and METRICS[metric].meaning),
        *_shown("Zero-shot", _ZERO_SHOT, 0 in shots),
        *_shown("One-shot", _ONE_SHOT, 1 in shots),
        *((f"{count}-shot", _K_SHOT) for count in sorted(shots - {0, 1})),
        ("95 % interval", _INTERVAL),
        *_shown("Baseline", _BASELINE, report.baseline is not None),
        *_shown("p", _P, compared),
        *_shown("Gate", _GATE, report.gate is not None),
        *_shown("Loss, in nats per target token", _LOSS, has_curves),
        *_shown("Optimizer step", _STEP, has_curves),
        *_shown("Arm, mixture", _MIXTURE, has_curves),
    ]


def _shown(term: str, meaning: str, there: bool) -> list[Term]:
    return [(term, meaning)] if there else []
