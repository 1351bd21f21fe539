"""The trainer's command line with a recipe of the tests: `python -m training.recipes module:function stage ...`."""

import sys

from finetune_api.stages import StageDescription
from finetune_trainer.pod.main import main
from finetune_trainer.stages import StageTable

if __name__ == "__main__":
    recipe = sys.argv.pop(1)
    TABLE: StageTable = {
        "pretrain": StageDescription(implementation=recipe, parts=(), produces="model", artifact="models/pretrain")
    }
    sys.exit(main(table=TABLE))
