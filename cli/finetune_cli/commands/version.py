"""`finetune version`."""

from __future__ import annotations


def version() -> None:
    """Versions of finetune, of its API and of the libraries that train."""
    from finetune_cli.versions import lines

    for line in lines():
        print(line)
