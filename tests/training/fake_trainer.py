"""The trainer's command line with the stage of fake_recipe.py: `python -m training.fake_trainer`."""

import sys

from finetune_api.stages import StageDescription
from finetune_trainer.pod.main import main
from finetune_trainer.stages import StageTable

FAKE: StageTable = {
    "pretrain": StageDescription(
        implementation="training.fake_recipe:run", parts=(), produces="model", artifact="models/pretrain"
    )
}

if __name__ == "__main__":
    sys.exit(main(table=FAKE))
