"""Where URIs lead: one store a scheme. A new store is one file and its row in `finetune_api.registries.STORES`."""

from collections.abc import Callable
from pathlib import Path

from finetune_api.registries import STORES
from finetune_trainer.registry import Registry

Store = Callable[[str], Path]
"""From what follows `scheme://` to a path on this machine; a store of objects fetches them there first."""

stores: Registry[Store] = Registry(__name__, "store", STORES)
