"""Methods of adaptation: a new one is one file and its row in `finetune_api.registries.METHODS`."""

import logging

from finetune_api.registries import METHODS
from finetune_trainer.methods.interface import Method
from finetune_trainer.registry import Registry

# peft imports bitsandbytes, which looks for kernels on the hub and complains that it may not.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

__all__ = ["Method", "find_method"]

_registry: Registry[type[Method]] = Registry(__name__, "method", METHODS)


def find_method(name: str) -> Method:
    """The method of that name."""
    return _registry.find(name)()
