"""What the API server does before it stores an object: schema, defaults, CEL rules.

Returns what is wrong as problems and raises nothing: a store refuses, a command prints them with file and line.
"""

from finetune_operator.admission.admit import admit, problems_in, problems_in_status
from finetune_operator.admission.manifest import Check, ManifestProblem, problems_in_file, read_manifest

__all__ = [
    "Check",
    "ManifestProblem",
    "admit",
    "problems_in",
    "problems_in_file",
    "problems_in_status",
    "read_manifest",
]
