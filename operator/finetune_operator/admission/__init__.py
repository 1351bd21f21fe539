"""What the API server does before it stores an object: schema, defaults, CEL rules. Used by the embedded store."""

from finetune_operator.admission.admit import admit, admit_status, problems_in
from finetune_operator.admission.manifest import ManifestProblem, place_problems, read_manifest

__all__ = ["ManifestProblem", "admit", "admit_status", "place_problems", "problems_in", "read_manifest"]
