"""Addresses and ports of local pods: every pod has a loopback address of its own, every gang its rendezvous port.

All of 127.0.0.0/8 reaches this machine, so pods serve the same port numbers without getting in each other's way,
and the stable name of a pod is replaced by its address where Kubernetes would have a DNS server.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterable

ATTEMPTS = 64
RENDEZVOUS_PORTS = range(20000, 32000)
"""Below the ports that the system gives to outgoing connections."""


class NoFreeAddressError(Exception):
    """No loopback address has the ports free."""


class AddressBook:
    """Finds addresses; two books with different seeds (two runs on one machine) rarely even try the same ones."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._addresses: dict[str, str] = {}
        self._ports: dict[str, int] = {}

    def address_of(self, host: str, ports: Iterable[int]) -> str:
        """The address of a host; a new host gets one on which all `ports` are free.

        Raises:
            NoFreeAddressError: if a port is taken everywhere, that is by a program that listens on all addresses.
        """
        if host not in self._addresses:
            self._addresses[host] = self._find_address(host, tuple(ports))
        return self._addresses[host]

    def known_hosts(self) -> dict[str, str]:
        """Address by host."""
        return dict(self._addresses)

    def rendezvous_port(self, gang: str) -> int:
        """A port that is free on all addresses: torch's store listens on all of them.

        Raises:
            NoFreeAddressError: if none is.
        """
        if gang not in self._ports:
            self._ports[gang] = self._find_port(gang)
        return self._ports[gang]

    def chosen_port(self, gang: str) -> int | None:
        """The port that was chosen for a gang, if one was."""
        return self._ports.get(gang)

    def forget(self, gang: str, hosts: Iterable[str]) -> None:
        """Free what a gang had."""
        self._ports.pop(gang, None)
        for host in hosts:
            self._addresses.pop(host, None)

    def _find_address(self, host: str, ports: tuple[int, ...]) -> str:
        used = set(self._addresses.values())
        taken = ports
        for attempt in range(ATTEMPTS):
            address = self._candidate(host, attempt)
            taken = tuple(port for port in ports if not is_free(address, port))
            if address not in used and not taken:
                return address
        raise NoFreeAddressError(
            f"port {', '.join(map(str, taken))} is taken by another program that listens on all addresses: "
            "stop that program, then run again"
        )

    def _candidate(self, host: str, attempt: int) -> str:
        digest = hashlib.sha256(f"{self._seed} {host} {attempt}".encode()).digest()
        return f"127.{1 + digest[0] % 254}.{digest[1]}.{1 + digest[2] % 254}"

    def _find_port(self, gang: str) -> int:
        digest = hashlib.sha256(f"{self._seed} {gang}".encode()).digest()
        start = int.from_bytes(digest[:4], "big")
        used = set(self._ports.values())
        for attempt in range(ATTEMPTS):
            port = RENDEZVOUS_PORTS[(start + attempt) % len(RENDEZVOUS_PORTS)]
            if port not in used and is_free("", port):
                return port
        raise NoFreeAddressError(f"none of {ATTEMPTS} ports from {RENDEZVOUS_PORTS[0]} on is free: stop other programs")


def is_free(address: str, port: int) -> bool:
    """Whether nothing listens there (an empty address: on any address)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
