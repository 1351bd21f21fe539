"""The trainer's command line with a recipe of the tests: `python -m training.recipes module:function stage ...`."""

import sys

from finetune_trainer.main import main
from finetune_trainer.stages import Registry, StageEntry

if __name__ == "__main__":
    recipe = sys.argv.pop(1)
    REGISTRY: Registry = {"pretrain": StageEntry(recipe, "models/pretrain")}
    sys.exit(main(registry=REGISTRY))
