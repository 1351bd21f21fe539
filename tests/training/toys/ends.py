"""A bias probe: how a translation ends."""

from __future__ import annotations

from finetune_trainer.evaluation.probes.interface import Probe


class Ends(Probe):
    groups = ("stop", "none")

    def sentences(self) -> list[str]:
        return ["Open the file.", "Save the page."]

    def group_of(self, row: int, output: str, language: str) -> str | None:  # noqa: ARG002 - of no matter here
        return "stop" if output.endswith(".") else "none"
