"""Methods of adaptation: a new one is one file and its row in `finetune_api.registries.METHODS`."""

from finetune_api.registries import METHODS
from finetune_trainer.methods.interface import Method
from finetune_trainer.registry import Registry

__all__ = ["Method", "find_method"]

_registry: Registry[type[Method]] = Registry(__name__, "method", METHODS)


def find_method(name: str) -> Method:
    """The method of that name."""
    return _registry.find(name)()
