"""Credentials on their way from the client to the watches."""

from __future__ import annotations

import asyncio

import pytest
from kubernetes.aio.client.configuration import Configuration

from finetune_operator.process.transport import connection_info


@pytest.mark.parametrize("prefix", ["Bearer", "bearer"])
def test_the_token_goes_without_its_prefix(prefix: str) -> None:
    """A kubeconfig's comes with a capital letter, that of a service account without."""
    configuration = Configuration(host="https://10.96.0.1")
    configuration.api_key["BearerToken"] = f"{prefix} abc.def"
    assert asyncio.run(connection_info(configuration)).token == "abc.def"


def test_without_a_token_there_is_none() -> None:
    assert asyncio.run(connection_info(Configuration(host="https://10.96.0.1"))).token is None
