"""One answer for all pods of a gang."""

from __future__ import annotations

from datetime import UTC, datetime

from finetune_api.stage_result import StageResult
from finetune_trainer.errors import BadData
from finetune_trainer.pod import cause as gang
from finetune_trainer.pod.results import failed_result


class FakeStore:
    """Like torch's, in this process."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def compare_set(self, key: str, expected: str, desired: str, /) -> bytes:
        if self.values.get(key, b"").decode() == expected:
            self.values[key] = desired.encode()
        return self.values[key]

    def check(self, keys: list[str], /) -> bool:
        return all(key in self.values for key in keys)

    def get(self, key: str, /) -> bytes:
        return self.values[key]

    def add(self, key: str, amount: int, /) -> int:
        self.values[key] = str(int(self.values.get(key, b"0")) + amount).encode()
        return int(self.values[key])


class LostStore(FakeStore):
    """Its pod is gone."""

    def compare_set(self, *_: str) -> bytes:
        raise RuntimeError("Broken pipe")

    def check(self, *_: list[str]) -> bool:
        raise RuntimeError("Broken pipe")


def failure(message: str) -> StageResult:
    return failed_result("pretrain", 1, BadData("MalformedRow", message), datetime.now(UTC))


def test_the_first_to_fail_is_the_cause_for_all() -> None:
    store = FakeStore()
    gang.announce(store, failure("first"))
    gang.announce(store, failure("second"))
    cause = gang.await_cause(store, seconds=0.0)
    assert cause is not None
    assert cause.error is not None
    assert (cause.exit_code, cause.error.message) == (65, "first")


def test_a_killed_peer_leaves_no_cause() -> None:
    assert gang.await_cause(FakeStore(), seconds=0.0) is None
    assert gang.await_cause(None) is None


def test_a_store_that_went_with_its_pod_is_no_error() -> None:
    gang.announce(LostStore(), failure("unheard"))
    assert gang.await_cause(LostStore()) is None


def test_the_store_stays_until_all_ranks_know() -> None:
    store = FakeStore()
    gang.announce(store, failure("first"))
    gang.await_cause(store)
    gang.linger(store, ranks=2, seconds=60.0)  # returns at once: both know
    gang.linger(FakeStore(), ranks=2, seconds=60.0)  # returns at once: there is nothing to know
