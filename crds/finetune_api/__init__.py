"""The contract of finetune-operator: every name and shape that operator, trainer and CLI share.

The pydantic models in this package are the only source of the CRDs, of the JSON schema for editors and of the
reference pages. The package imports nothing but pydantic and the standard library.
"""
