"""Pages are passed on: they tell no folder of the machine, and so no name of a user."""

from __future__ import annotations

import json
from pathlib import Path

from finetune_trainer.reporting.artifact import write_report
from finetune_trainer.reporting.places import without_folders
from unit.reporting import sample

USER = str(Path("/", "home", "jane"))
HOME = f"{USER}/corpora"


def test_pages_tell_no_folders_and_json_does(tmp_path: Path) -> None:
    plain = sample.report()
    report = plain.model_copy(
        update={
            "notes": [f"hypotheses of '{HOME}/agency.en' were read", "either/or is no path, nor is 3 / 4"],
            "model": sample.MODEL.model_copy(update={"path": f"file://{HOME}/model"}),
            "rivals": [rival.model_copy(update={"path": f"{HOME}/{rival.name}"}) for rival in plain.rivals],
            "data": {"sources": [{"name": "ui", "uri": f"file://{HOME}/ui.tsv", "sha256": {f"{HOME}/ui.tsv": "ab"}}]},
            "spec": {
                "workspace": {"path": f"{USER}/"},
                "runtime": f"{HOME}/",
                "model": {"from": {"uri": "pvc://models/es/base"}},
            },
            "lineage": {"prepare": {"artifact": "data/1", "inputs": {f"{HOME}/ui.tsv": "cd"}}},
        }
    )
    write_report(tmp_path, report, {"pretrain": sample.history()}, {})
    for page in ("report.html", "report.md"):
        text = (tmp_path / page).read_text("utf-8")
        assert "jane" not in text
        assert "/home" not in text
    html = (tmp_path / "report.html").read_text("utf-8")
    assert "&#34;…/ui.tsv&#34;: &#34;cd&#34;" in html
    for kept in ("…/ui.tsv", "pvc://models/es/base", "data/1", "either/or is no path, nor is 3 / 4", "…/agency"):
        assert kept in html
    assert json.loads((tmp_path / "report.json").read_text("utf-8"))["spec"]["workspace"]["path"] == f"{USER}/"


def test_files_of_one_name_stay_apart() -> None:
    inputs = {"/a/ui.tsv": "1", "/b/ui.tsv": "2", "prepare": "3"}
    shown = without_folders(sample.report().model_copy(update={"lineage": {"adapt": {"inputs": inputs}}}))
    assert shown.lineage["adapt"]["inputs"] == {"…/ui.tsv (1)": "1", "…/ui.tsv (2)": "2", "prepare": "3"}
