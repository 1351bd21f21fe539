"""A self-written English-Spanish corpus that a tiny model can learn: one grammar, both languages in step."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

SUBJECTS = [
    ("the user", "el usuario"), ("the server", "el servidor"), ("the file", "el archivo"),
    ("the folder", "la carpeta"), ("the page", "la página"), ("the button", "el botón"),
    ("the list", "la lista"), ("the order", "el pedido"), ("the ticket", "la entrada"),
    ("the customer", "el cliente"), ("the account", "la cuenta"), ("the message", "el mensaje"),
]  # fmt: skip
VERBS = [
    ("opens", "abre"), ("closes", "cierra"), ("shows", "muestra"), ("changes", "cambia"), ("saves", "guarda"),
    ("removes", "elimina"), ("needs", "necesita"), ("finds", "encuentra"),
]  # fmt: skip
TIMES = [("", ""), (" now", " ahora"), (" every day", " cada día"), (" tomorrow", " mañana")]


def pairs(count: int, seed: int = 1) -> list[tuple[str, str]]:
    """`count` different sentence pairs, English first."""
    grammar = [
        (f"{a[0]} {v[0]} {b[0]}{t[0]}.".capitalize(), f"{a[1]} {v[1]} {b[1]}{t[1]}.".capitalize())
        for a, v, b, t in itertools.product(SUBJECTS, VERBS, SUBJECTS, TIMES)
        if a != b
    ]
    return random.Random(seed).sample(grammar, count)


def write_tsv(path: Path, count: int) -> Path:
    """A two-column file of `count` pairs."""
    path.write_text("".join(f"{en}\t{es}\n" for en, es in pairs(count)), encoding="utf-8")
    return path
