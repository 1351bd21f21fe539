"""Settings of the operator's process: from a file, and above it from the environment."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

CONFIG_VARIABLE = "FINETUNE_OPERATOR_CONFIG"


class OperatorSettings(BaseSettings):
    """Each field can be given as FINETUNE_OPERATOR_<NAME>, or in the YAML file that FINETUNE_OPERATOR_CONFIG names."""

    model_config = SettingsConfigDict(
        env_prefix="FINETUNE_OPERATOR_", extra="forbid", frozen=True, use_attribute_docstrings=True
    )

    namespaces: Annotated[tuple[str, ...], NoDecode] = ()
    """Namespaces to serve, with commas between them; empty: all."""
    namespace: str = "finetune-operator"
    """The operator's own namespace: where its Lease is."""
    kubeconfig: Path | None = None
    """Credentials outside a cluster; without it the pod's service account."""
    leader_election: bool = True
    """Off: for one replica only."""
    lease_name: str = "finetune-operator"
    """Name of the Lease that replicas compete for."""
    lease_seconds: int = Field(default=15, ge=3, le=3600)
    """A leader that is silent for so long is replaced."""
    identity: str = Field(default_factory=lambda: f"{socket.gethostname()}_{os.getpid()}")
    """Name of this replica in the Lease."""
    workers: int = Field(default=8, ge=1, le=256)
    """Jobs visited at the same time."""
    writes_per_second: float = Field(default=200.0, gt=0.0, le=10_000.0)
    """Bound on the rate of write requests."""
    write_burst: int = Field(default=200, ge=1, le=10_000)
    """Write requests that may go out at once."""
    status_interval_seconds: float = Field(default=15.0, ge=1.0, le=3600.0)
    """Progress is written to a status at most this often."""
    resync_seconds: float = Field(default=120.0, ge=5.0, le=86_400.0)
    """All objects are read anew this often, for what no watch has told."""
    children_seconds: float = Field(default=30.0, ge=0.5, le=86_400.0)
    """Services, ConfigMaps and other children without a watch are read anew this often, to restore what was changed."""
    network_policies: bool = True
    """Each job gets a NetworkPolicy that lets in only its own pods and the operator."""
    scrape_namespaces: Annotated[tuple[str, ...], NoDecode] = ()
    """Namespaces that such a policy also lets in, to the metrics: Prometheus'. With commas between them."""
    http_host: str = "0.0.0.0"  # noqa: S104 - in a pod, probes come from the node
    """Address of /healthz, /readyz and /metrics."""
    http_port: int = Field(default=8080, ge=0, le=65_535)
    """Port of the same; 0: any."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severe lines that are written."""
    log_format: Literal["json", "console"] = "json"
    """json: one object per line; console: for people."""

    @field_validator("namespaces", "scrape_namespaces", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(  # type: ignore[override]
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        **_: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given in code, then the environment, then the file."""
        path = os.environ.get(CONFIG_VARIABLE)
        file = (YamlConfigSettingsSource(settings_cls, yaml_file=path),) if path else ()
        return (init_settings, env_settings, *file)
