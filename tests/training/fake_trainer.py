"""The trainer's command line with the stage of fake_recipe.py: `python -m training.fake_trainer`."""

import sys

from finetune_trainer.main import main
from finetune_trainer.stages import Registry, StageEntry

FAKE: Registry = {"pretrain": StageEntry("training.fake_recipe:run", "models/pretrain")}

if __name__ == "__main__":
    sys.exit(main(registry=FAKE))
