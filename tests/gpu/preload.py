"""Imported by the server of forks, so that its forks need not."""

import atexit
import gc
import importlib
import os

from training.warm_server import import_all

import_all()
for name in (
    "deepspeed.runtime.zero.muon.original_muon",  # ZeRO 1 and 2 import it, and with it torch's compiler
    "deepspeed.runtime.zero.stage_1_and_2",
    "deepspeed.runtime.zero.stage3",
    "gpu.steps.peer",
    "training.prepared",
    "transformers.models.mistral.modeling_mistral",
):
    importlib.import_module(name)
gc.collect()
gc.freeze()  # the collector of a fork would write to every page
# Its forks end by themselves; libraries complain of what is left when an interpreter is taken down.
atexit.register(os._exit, 0)
