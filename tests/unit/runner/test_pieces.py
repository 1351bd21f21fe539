"""The pure parts: Job controller, command lines, volumes, addresses."""

from __future__ import annotations

import copy
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.job import FineTuneJob
from finetune_api.objects import Object
from finetune_api.runtime import RuntimeSpec
from finetune_api.status import StageStatus
from finetune_operator.cluster.local.addresses import AddressBook, NoFreeAddressError
from finetune_operator.cluster.local.container import SUPPORTED_FIELDS, process_of
from finetune_operator.cluster.local.job_controller import (
    control,
    format_indexes,
    index_of,
    is_finished,
    make_pod,
    parse_indexes,
)
from finetune_operator.cluster.local.volumes import NotReadyError, NotRunnableError, prepare_volumes
from finetune_operator.reconcile import LOCAL_SETTINGS
from finetune_operator.reconcile.children import gang_children
from finetune_operator.reconcile.plan import make_plan
from unit.admission.rule_cases import changed
from unit.runner.pods import job

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


def stored_job(pods: int = 2) -> Object:
    value = job("j", "true", pods)
    value["metadata"]["uid"] = "uid-1"
    return value


def pods_of(owner: Object, *phases: str, **metadata: str) -> list[Object]:
    pods = []
    for index, phase in enumerate(phases):
        pod = make_pod(owner, index)
        pod["status"] = {"phase": phase}
        pod["metadata"] |= metadata
        pods.append(pod)
    return pods


class TestJobController:
    def test_makes_every_missing_pod_once(self) -> None:
        owner = stored_job(3)
        decision = control(owner, pods_of(owner, "Running"), NOW)
        assert [index_of(p) for p in decision.create] == [1, 2]
        assert decision.status["active"] == 3

    def test_names_follow_from_uid_and_index(self) -> None:
        first, again = make_pod(stored_job(), 1), make_pod(stored_job(), 1)
        assert first == again
        assert first["metadata"]["name"].startswith("j-1-")
        assert len(first["metadata"]["name"]) == len("j-1-") + 5
        other = stored_job()
        other["metadata"]["uid"] = "uid-2"
        assert make_pod(other, 1)["metadata"]["name"] != first["metadata"]["name"]
        assert first["spec"]["hostname"] == "j-1"

    def test_parallelism_bounds_the_pods_that_run(self) -> None:
        owner = stored_job(3)
        owner["spec"]["parallelism"] = 1
        assert [index_of(p) for p in control(owner, pods_of(owner, "Succeeded"), NOW).create] == [1]
        assert control(owner, pods_of(owner, "Running"), NOW).create == ()

    def test_completes_when_every_index_has_succeeded(self) -> None:
        owner = stored_job()
        owner["status"] = control(owner, pods_of(owner, "Succeeded", "Succeeded"), NOW).status
        assert is_finished(owner)
        assert owner["status"]["completedIndexes"] == "0-1"
        assert owner["status"]["completionTime"] == "2026-01-05T09:00:00Z"
        assert control(owner, [], NOW).create == ()

    def test_fails_only_after_the_other_pods_have_ended(self) -> None:
        owner = stored_job()
        running, failed = pods_of(owner, "Running", "Failed")
        decision = control(owner, [running, failed], NOW)
        assert decision.delete == (running["metadata"]["name"],)
        owner["status"] = decision.status
        assert not is_finished(owner)
        running["metadata"]["deletionTimestamp"] = "2026-01-05T09:00:00Z"
        assert control(owner, [running, failed], NOW).delete == ()
        running["status"]["phase"] = "Failed"
        decision = control(owner, [running, failed], NOW)
        assert decision.release == (running["metadata"]["name"],)
        owner["status"] = decision.status
        assert is_finished(owner)
        assert owner["status"]["failed"] == 2

    def test_a_failure_is_remembered_when_its_pod_is_gone(self) -> None:
        owner = stored_job()
        owner["status"] = control(owner, pods_of(owner, "Failed", "Running"), NOW).status
        decision = control(owner, [], NOW)
        assert decision.create == ()
        assert is_finished({"status": decision.status})

    def test_comes_to_rest(self) -> None:
        owner = stored_job()
        pods = pods_of(owner, "Running", "Running")
        owner["status"] = control(owner, pods, NOW).status
        assert control(owner, pods, NOW.replace(hour=10)).status == owner["status"]

    @given(st.sets(st.integers(0, 30)))
    def test_indexes_survive_the_round_trip(self, indexes: set[int]) -> None:
        assert parse_indexes(format_indexes(indexes)) == indexes

    def test_indexes_are_written_as_kubernetes_does(self) -> None:
        assert format_indexes({0, 1, 2, 5, 7, 8}) == "0-2,5,7-8"


def pod_with(**container: Any) -> Object:
    pod = make_pod(stored_job(), 1)
    pod["metadata"]["uid"] = "pod-uid"
    pod["status"] = {"podIP": "127.1.2.3"}
    pod["spec"]["containers"][0] |= container
    return pod


def arguments(*words: str, mounts: dict[str, str] | None = None, hosts: dict[str, str] | None = None) -> list[str]:
    pod = pod_with(command=["sh", *words])
    real = {path: Path(place) for path, place in (mounts or {}).items()}
    return list(process_of(pod, real, hosts or {}, {}, {"PATH": "/usr/bin:/bin"}, Path("/")).command[1:])


class TestContainer:
    @pytest.mark.parametrize(
        ("word", "expected"),
        [
            ("/data", "/real"),
            ("/data/x.json", "/real/x.json"),
            ("--plan=/data/x", "--plan=/real/x"),
            ("/data:/data/y", "/real:/real/y"),
            ("file:///data/x", "file:///real/x"),
            ("/database", "/database"),
            ("/data-2", "/data-2"),
            ("/other/data", "/other/data"),
            ("/data/inner/z", "/deep/z"),
            ("./data", "./data"),
        ],
    )
    def test_mount_paths_become_real_paths(self, word: str, expected: str) -> None:
        assert arguments(word, mounts={"/data": "/real", "/data/inner": "/deep"}) == [expected]

    @pytest.mark.parametrize(
        ("word", "expected"),
        [
            ("j-0.gang", "127.9.9.9"),
            ("j-0.gang:29500", "127.9.9.9:29500"),
            ("tcp://j-0.gang:1", "tcp://127.9.9.9:1"),
            ("xj-0.gang", "xj-0.gang"),
            ("j-0.gangway", "j-0.gangway"),
            ("j-0.gang.example", "j-0.gang.example"),
        ],
    )
    def test_stable_names_become_addresses(self, word: str, expected: str) -> None:
        assert arguments(word, hosts={"j-0.gang": "127.9.9.9"}) == [expected]

    def test_the_environment_is_that_of_this_process_and_the_containers(self) -> None:
        pod = pod_with(command=["sh"], env=[{"name": "OWN", "value": "a"}])
        process = process_of(pod, {}, {}, {"SET": "2"}, {"PATH": "/usr/bin:/bin", "KEPT": "1", "OWN": "b"}, Path("/"))
        assert [process.environment[key] for key in ("KEPT", "OWN", "SET")] == ["1", "a", "2"]
        assert process.environment["HOSTNAME"] == "j-1"

    def test_fields_of_the_pod(self) -> None:
        paths = {
            "INDEX": "metadata.annotations['batch.kubernetes.io/job-completion-index']",
            "ADDRESS": "status.podIP",
        }
        env = [{"name": n, "valueFrom": {"fieldRef": {"fieldPath": p}}} for n, p in paths.items()]
        environment = process_of(pod_with(env=env), {}, {}, {}, {"PATH": "/bin"}, Path("/")).environment
        assert [environment[n] for n in paths] == ["1", "127.1.2.3"]
        other = [{"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
        with pytest.raises(NotRunnableError, match="env NAME"):
            process_of(pod_with(env=other), {}, {}, {}, {"PATH": "/bin"}, Path("/"))


def test_the_fields_of_a_container_are_just_those_that_reconcile_writes() -> None:
    fine_tune_job = FineTuneJob.from_json_object(changed({}))
    status = StageStatus(name="pretrain", state="Pending", attempt=1)
    runtime = RuntimeSpec.model_validate({"image": "local", "resources": {"limits": {"cpu": "1"}}})
    *_, gang = gang_children(fine_tune_job, make_plan(fine_tune_job, status, {}, LOCAL_SETTINGS), runtime)
    (container,) = gang["spec"]["template"]["spec"]["containers"]
    assert container.keys() == SUPPORTED_FIELDS


class TestVolumes:
    def prepare(self, tmp_path: Path, mount: Object, volume: Object) -> Path:
        pod = pod_with(volumeMounts=[{"name": "v", "mountPath": "/v/", **mount}])
        pod["spec"]["volumes"] = [{"name": "v", **volume}]
        config_maps = {"c": {"data": {"plan.json": "{}", "other": "x"}}}
        return prepare_volumes(pod, tmp_path / "own", tmp_path / "claims", config_maps)["/v"]

    def test_kinds(self, tmp_path: Path) -> None:
        assert self.prepare(tmp_path, {}, {"hostPath": {"path": "/srv"}}) == Path("/srv")
        assert self.prepare(tmp_path, {}, {"emptyDir": {}}).is_dir()
        claim = self.prepare(tmp_path, {"readOnly": True}, {"persistentVolumeClaim": {"claimName": "data"}})
        assert claim == tmp_path / "claims" / "data"
        assert claim.is_dir()
        config = self.prepare(tmp_path, {}, {"configMap": {"name": "c"}})
        assert {path.name: path.read_text() for path in config.iterdir()} == {"plan.json": "{}", "other": "x"}

    def test_a_missing_config_map_is_waited_for(self, tmp_path: Path) -> None:
        with pytest.raises(NotReadyError, match="absent"):
            self.prepare(tmp_path, {}, {"configMap": {"name": "absent"}})

    @pytest.mark.parametrize(
        ("mount", "volume"),
        [
            ({}, {"secret": {"secretName": "s"}}),
            ({}, {}),
            ({"subPath": "a"}, {"emptyDir": {}}),
            ({"subPathExpr": "$(A)"}, {"emptyDir": {}}),
            ({}, {"configMap": {"name": "c", "items": [{"key": "other", "path": "x"}]}}),
        ],
    )
    def test_what_is_not_there_is_refused(self, tmp_path: Path, mount: Object, volume: Object) -> None:
        with pytest.raises(NotRunnableError):
            self.prepare(tmp_path, mount, volume)


class TestAddresses:
    def test_every_host_has_its_own_and_keeps_it(self) -> None:
        book = AddressBook("seed")
        addresses = [book.address_of(f"host-{i}", [29500]) for i in range(50)]
        assert len(set(addresses)) == 50
        assert all(a.startswith("127.") and not a.startswith("127.0.0.") for a in addresses)
        assert book.address_of("host-7", [29500]) == addresses[7]

    def test_runs_on_one_machine_differ(self) -> None:
        assert AddressBook("run 1").address_of("h", []) != AddressBook("run 2").address_of("h", [])

    def test_a_taken_port_is_avoided(self) -> None:
        first = AddressBook("seed").address_of("h", [])
        with socket.socket() as other:
            other.bind((first, 0))
            port = other.getsockname()[1]
            other.listen()
            assert AddressBook("seed").address_of("h", [port]) != first
        assert AddressBook("seed").address_of("h", [port]) == first

    def test_a_port_that_is_taken_everywhere(self) -> None:
        with socket.socket() as other:
            other.bind(("", 0))
            other.listen()
            port = other.getsockname()[1]
            with pytest.raises(NoFreeAddressError, match=f"port {port} is taken"):
                AddressBook("seed").address_of("h", [port])

    def test_a_taken_rendezvous_port_is_avoided(self) -> None:
        port = AddressBook("seed").rendezvous_port("gang")
        with socket.socket() as other:
            other.bind(("127.0.0.1", port))
            other.listen()
            assert AddressBook("seed").rendezvous_port("gang") != port

    def test_what_was_freed_is_chosen_anew(self) -> None:
        book = AddressBook("seed")
        book.rendezvous_port("gang")
        book.address_of("h", [])
        book.forget("gang", ["h"])
        assert book.known_hosts() == {}
        assert book.chosen_port("gang") is None


def test_a_pod_is_not_changed_by_what_is_made_of_it() -> None:
    owner = stored_job()
    before = copy.deepcopy(owner)
    make_pod(owner, 0)["spec"]["containers"][0]["env"].append("x")
    control(owner, pods_of(owner, "Failed"), NOW)
    assert owner == before
