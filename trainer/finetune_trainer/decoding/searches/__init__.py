"""Ways to search for outputs: a new one is a file and its row in `finetune_api.registries.DECODINGS`."""

from collections.abc import Callable

from finetune_api.decoding import Decoding
from finetune_api.registries import DECODINGS
from finetune_trainer.decoding.searches.interface import Search
from finetune_trainer.registry import Registry

__all__ = ["Search", "create_search"]

_registry: Registry[Callable[[Decoding], Search]] = Registry(__name__, "decoding", DECODINGS)


def create_search(decoding: Decoding) -> Search:
    """The search that a manifest asks for."""
    return _registry.find(decoding.method)(decoding.filled())
