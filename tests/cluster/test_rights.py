"""The operator's rights on a real API server are what manifests/install/rbac.yaml says, to the letter, and are used."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from cluster.control_plane import ControlPlane, KubectlError
from finetune_api.objects import Object
from finetune_operator.cluster.interface import Kind
from finetune_operator.cluster.kubernetes.cache import SELECTORS
from finetune_operator.cluster.resources import RESOURCES
from finetune_operator.control.children import CHILD_KINDS
from finetune_operator.process.transport import WATCHED

Right = tuple[str, str, str]
"""Group, resource or resource/subresource, verb."""
OWN, OTHER = "finetune-operator", "default"
"""The operator's namespace, and one where it only serves jobs."""
FORBIDDEN = ("secrets", "nodes", "serviceaccounts", "roles", "clusterroles", "rolebindings", "clusterrolebindings")
BY_DEFAULT: set[Right] = {
    ("authentication.k8s.io", "selfsubjectreviews", "create"),
    ("authorization.k8s.io", "selfsubjectaccessreviews", "create"),
    ("authorization.k8s.io", "selfsubjectrulesreviews", "create"),
    *(("certificates.k8s.io", "clustertrustbundles", verb) for verb in ("get", "list", "watch")),
}
"""What Kubernetes lets each service account do: ask about itself, read public certificates."""


@pytest.fixture(scope="module")
def roles(root: Path) -> dict[str, list[Object]]:
    """The shipped rules, by name of the role."""
    text = (root / "manifests" / "install" / "rbac.yaml").read_text(encoding="utf-8")
    return {v["metadata"]["name"]: v["rules"] for v in yaml.safe_load_all(text) if v["kind"] in ("ClusterRole", "Role")}


def rights(rules: Iterable[Object]) -> set[Right]:
    """What rules of RBAC allow; those that name objects are left out."""
    return {
        (group, resource, verb)
        for rule in rules
        if "nonResourceURLs" not in rule and not rule.get("resourceNames")
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def named_rights(rules: Iterable[Object]) -> set[tuple[str, str, str, str]]:
    """What rules allow on objects that they name."""
    return {
        (*right, name)
        for rule in rules
        for name in rule.get("resourceNames") or ()
        for right in rights([rule | {"resourceNames": []}])
    }


def rules_of(plane: ControlPlane, namespace: str) -> list[Object]:
    """The API server's answer to what the operator may do by RBAC; the node authorizer lists nothing for it."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    answer = plane.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(review), user="operator")
    found: list[Object] = json.loads(answer)["status"]["resourceRules"]
    return found


def discovered(plane: ControlPlane) -> set[Right]:
    """Everything that anybody could do to a resource of this API server."""
    paths = {"": "/api/v1"}
    for group in json.loads(plane.kubectl("get", "--raw", "/apis"))["groups"]:
        paths[group["name"]] = f"/apis/{group['preferredVersion']['groupVersion']}"
    return {
        (group, resource["name"], verb)
        for group, path in paths.items()
        for resource in json.loads(plane.kubectl("get", "--raw", path))["resources"]
        for verb in resource["verbs"]
    }


def allowed(plane: ControlPlane, asked: Iterable[Right], namespace: str) -> set[Right]:
    """Those of the rights that the operator has, asked for one by one of all authorizers."""
    reviews = [access_review(right, namespace) for right in sorted(asked)]
    template = "{{with .spec.resourceAttributes}}{{.group}} {{.resource}} {{.subresource}} {{.verb}}{{end}}"
    output = plane.kubectl(
        "create", "-f", "-", "-o", f'go-template={template} {{{{.status.allowed}}}}{{{{"\\n"}}}}',
        stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews}),
        user="operator",
    )  # fmt: skip
    answers = [line.replace("<no value>", "-").split() for line in output.splitlines()]
    assert len(answers) == len(reviews)
    return {
        ("" if group == "-" else group, resource if sub == "-" else f"{resource}/{sub}", verb)
        for group, resource, sub, verb, answer in answers
        if answer == "true"
    }


def access_review(right: Right, namespace: str) -> Object:
    """May I?"""
    group, resource, verb = right
    resource, _, subresource = resource.partition("/")
    attributes = {"group": group, "resource": resource, "subresource": subresource, "verb": verb}
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"namespace": namespace} | {k: v for k, v in attributes.items() if v}},
    }


def requests_of_the_code() -> set[Right]:
    """What the operator asks of the API server: one line per place that does."""
    verbs: dict[Kind, set[str]] = {kind: set() for kind in RESOURCES}
    for kind in SELECTORS:
        verbs[kind] |= {"list"}  # the cache
    for kind in WATCHED:
        verbs[kind] |= {"list", "watch"}  # kopf
    for kind in ("FineTuneJob", "FineTuneRuntime", "ClusterFineTuneRuntime", *CHILD_KINDS):
        verbs[kind] |= {"get"}  # Controller: fresh reads, and whose it is that has a child's name
    for kind in (*CHILD_KINDS, "Event"):
        verbs[kind] |= {"create", "patch"}  # server-side apply
    for kind in ("FineTuneJob", "Job", "ConfigMap", "Service"):
        verbs[kind] |= {"delete"}  # TTL, leftovers
    found = {(RESOURCES[kind].group, RESOURCES[kind].plural, verb) for kind in verbs for verb in verbs[kind]}
    return found | {(RESOURCES["FineTuneJob"].group, "finetunejobs/status", "patch")}


def test_each_right_is_used_and_none_is_missing(roles: dict[str, list[Object]]) -> None:
    assert rights(roles["finetune-operator"]) == requests_of_the_code()
    assert named_rights(roles["finetune-operator"]) == set()


def test_the_rules_are_those_of_the_roles(plane: ControlPlane, roles: dict[str, list[Object]]) -> None:
    here = rules_of(plane, OTHER)
    assert rights(here) == rights(roles["finetune-operator"]) | BY_DEFAULT
    assert named_rights(here) == set()
    own = rules_of(plane, OWN)
    lease = roles["finetune-operator-leader"]
    assert rights(own) == rights(here) | rights(lease)
    assert named_rights(own) == named_rights(lease)


@pytest.mark.parametrize("namespace", [OTHER, OWN])
def test_the_operator_may_do_what_the_roles_say_and_nothing_else(
    plane: ControlPlane, roles: dict[str, list[Object]], namespace: str
) -> None:
    everything = discovered(plane)
    wanted = rights(roles["finetune-operator"]) | BY_DEFAULT
    if namespace == OWN:
        wanted |= rights(roles["finetune-operator-leader"])
    assert wanted <= everything, "a right on what does not exist"
    impersonation = {
        ("", "users", "impersonate"),
        ("", "groups", "impersonate"),
        ("", "serviceaccounts", "impersonate"),
    }
    found = allowed(plane, everything | impersonation, namespace)
    assert found == wanted
    assert not [right for right in found if right[1].partition("/")[0] in FORBIDDEN]


@pytest.mark.parametrize("verb", ["get", "update"])
def test_the_lease_is_the_only_one_within_reach(plane: ControlPlane, verb: str) -> None:
    def may(name: str, namespace: str) -> bool:
        try:
            plane.kubectl("auth", "can-i", verb, f"leases.coordination.k8s.io/{name}", "-n", namespace, user="operator")
        except KubectlError:
            return False
        return True

    assert may("finetune-operator", OWN)
    assert not may("another", OWN)
    assert not may("finetune-operator", OTHER)
