"""What the chart renders is what Kubernetes takes, says the same as manifests/install, and refuses wrong values."""

from __future__ import annotations

from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from chart.helm import CHART, KINDS, MONITORING_KINDS, HelmError, helm, render
from chart.toggles import NEWEST, OLDEST, SINCE, TOGGLES, toggled
from finetune_api import labels
from finetune_api.objects import Object
from finetune_api.runtime import ClusterFineTuneRuntime
from finetune_operator.process.settings import OperatorSettings

MATRIX = [(t, version) for t in (*TOGGLES, "everything") for version in (SINCE.get(t, OLDEST), NEWEST)]
OWN_SCHEMAS = ("CustomResourceDefinition", "ClusterFineTuneRuntime", *MONITORING_KINDS)
"""Not among those of Kubernetes' own API that the validator has."""
WRONG: dict[str, tuple[Object, str]] = {
    "unknown value": ({"replica": 2}, "replica"),
    "unknown setting": ({"config": {"workerz": 3}}, "workerz"),
    "setting out of bounds": ({"config": {"workers": 0}}, "workers"),
    "setting of another type": ({"config": {"logLevel": "LOUD"}}, "logLevel"),
    "too many replicas": ({"replicas": 4}, "replicas"),
    "replicas as text": ({"replicas": "two"}, "replicas"),
    "digest that is none": ({"image": {"digest": "latest"}}, "digest"),
    "namespace that is none": ({"namespaces": ["Team A"]}, "namespaces"),
    "monitor without its CRD": ({"monitoring": {"serviceMonitor": {"enabled": True}}}, "install that first"),
    "pod monitor without its CRD": ({"monitoring": {"podMonitor": {"enabled": True}}}, "install that first"),
    "rules without their CRD": ({"monitoring": {"rules": {"enabled": True}}}, "install that first"),
    "runtime without its CRD": ({"runtimes": {"cpu": {"enabled": True}}}, "install once without it"),
    "threshold out of bounds": ({"monitoring": {"rules": {"thresholds": {"goodputRatio": 80}}}}, "goodputRatio"),
    "unknown threshold": ({"monitoring": {"rules": {"thresholds": {"goodput": 0.8}}}}, "goodput"),
    "alert of another name": ({"monitoring": {"rules": {"disabled": ["GpuIdle"]}}}, "disabled"),
    "alert that does not exist": (
        {"monitoring": {"rules": {"enabled": True, "disabled": ["FineTuneJobLazy"]}}},
        "FineTuneJobLazy",
    ),
    "prefix of images that ends within a name": ({"imagePolicy": {"prefixes": ["registry.example.com"]}}, "prefixes"),
    "runtime that the image policy refuses": (
        {"imagePolicy": {"enabled": True}, "runtimes": {"cpu": {"enabled": True}}},
        "runtimes.cpu.image: localhost/.* is not what imagePolicy allows",
    ),
    "long name": ({"fullnameOverride": "x" * 53}, "52"),
}


def one(objects: list[Object], kind: str, name: str = "finetune-operator") -> Object:
    (found,) = (o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name))
    return found


NEED_KINDS = ("alert that does not exist", "runtime that the image policy refuses")
"""Cases that are about an object of a kind that the cluster must have first."""


def test_helm_finds_nothing_to_complain_of() -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART))


@pytest.mark.parametrize(("toggle", "version"), MATRIX)
def test_kubernetes_takes_what_is_rendered(toggle: str, version: str) -> None:
    values = toggled(toggle)
    objects = render(values, *KINDS, f"--kube-version={version}")
    assert objects
    names = [(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in objects]
    assert len(set(names)) == len(names)
    for value in objects:
        if value["kind"] == "ClusterFineTuneRuntime":
            ClusterFineTuneRuntime.from_json_object(value)
        elif value["kind"] not in OWN_SCHEMAS:
            kubernetes_validate.validate(value, version, strict=True)


@pytest.mark.parametrize("toggle", [*TOGGLES, "everything"])
def test_helm_3_renders_the_same(toggle: str) -> None:
    values = toggled(toggle)
    flags = (*KINDS, f"--kube-version={NEWEST}")
    assert render(values, *flags, older=True) == render(values, *flags)


@pytest.mark.parametrize("toggle", SINCE)
def test_an_older_kubernetes_is_refused_by_name(toggle: str) -> None:
    with pytest.raises(HelmError, match=f"needs Kubernetes {SINCE[toggle]}, this is v{OLDEST}"):
        render(TOGGLES[toggle], f"--kube-version={OLDEST}")


@pytest.mark.parametrize("case", WRONG)
def test_helm_3_refuses_the_same(case: str) -> None:
    values, told = WRONG[case]
    flags = KINDS if case in NEED_KINDS else ()
    with pytest.raises(HelmError, match=told):
        render(values, *flags, f"--kube-version={NEWEST}", older=True)


def test_what_each_toggle_does_is_seen() -> None:
    standard = render()
    for name, values in TOGGLES.items():
        assert name == "defaults" or render(values, *KINDS) != standard, name


@pytest.mark.parametrize("case", WRONG)
def test_wrong_values_are_refused_by_name(case: str) -> None:
    values, told = WRONG[case]
    with pytest.raises(HelmError, match=told):
        render(values, *(KINDS if case in NEED_KINDS else ()))


CPU_RUNTIME = {"runtimes": {"cpu": {"enabled": True}}}
OPERATOR, TRAINER = (f"finetune-operator/{name}:0.1.0" for name in ("operator", "trainer"))


def images(objects: list[Object]) -> list[str]:
    """Of the operator's container, and of the runtimes."""
    (container,) = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    return [container["image"], *(o["spec"]["image"] for o in objects if o["kind"] == "ClusterFineTuneRuntime")]


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({}, [OPERATOR]),
        (CPU_RUNTIME, [OPERATOR, TRAINER]),
        (
            {"runtimes": {"cuda": {"enabled": True}}, "image": {"tag": "7"}},
            [f"{OPERATOR[:-5]}7", f"{TRAINER[:-5]}7-cuda"],
        ),
        (
            CPU_RUNTIME
            | {"image": {"registry": "localhost:5000"}}
            | {"runtimes": {"cpu": {"enabled": True, "image": f"localhost/{TRAINER}"}}},
            [TRAINER],
        ),
    ],
    ids=["operator", "runtime", "variant and tag", "own image of a runtime"],
)
def test_images_of_no_registry_are_refused_with_the_commands(values: Object, missing: list[str]) -> None:
    with pytest.raises(HelmError) as refused:
        render({"imagesOnNodes": False} | values, *KINDS)
    lines = str(refused.value).splitlines()
    named = " and ".join(f"localhost/{name}" for name in missing)
    assert f"no registry has {named}: images are not published. Build them" in lines[1]
    pushed = [(f"localhost/{name}", f"registry.example.com/{name}") for name in missing]
    tags = [f"  docker tag {name} {there} && docker push {there}" for name, there in pushed]
    assert lines[2 : 3 + len(tags)] == ["  make image", *tags]
    assert "--set image.registry=registry.example.com." in lines[3 + len(tags)]
    assert "--set imagesOnNodes=true." in lines[3 + len(tags)]


@pytest.mark.parametrize("registry", ["registry.example.com/ml", "localhost:5000"])
def test_one_value_names_the_registry_of_all_images(registry: str) -> None:
    values = {"imagesOnNodes": False, "image": {"registry": registry}} | CPU_RUNTIME
    assert images(render(values, *KINDS)) == [f"{registry}/{OPERATOR}", f"{registry}/{TRAINER}"]


def test_images_that_are_on_the_nodes_are_taken_as_they_are() -> None:
    assert images(render(CPU_RUNTIME, *KINDS)) == [f"localhost/{OPERATOR}", f"localhost/{TRAINER}"]


def test_a_long_release_name_is_refused_with_the_remedy() -> None:
    with pytest.raises(HelmError, match="set fullnameOverride"):
        render({}, release="r" * 50)


def test_rights_are_those_of_the_manifests(root: Path) -> None:
    text = (root / "manifests" / "install" / "rbac.yaml").read_text(encoding="utf-8")
    shipped = {(v["kind"], v["metadata"]["name"]): v for v in yaml.safe_load_all(text)}
    rendered = {(v["kind"], v["metadata"]["name"]): v for v in render()}
    for key, value in shipped.items():
        for part in ("rules", "roleRef", "subjects"):
            assert rendered[key].get(part) == value.get(part), key


def test_in_namespaces_nothing_of_the_whole_cluster_may_be_done() -> None:
    objects = render({"namespaces": ["team-a", "team-b"], "rbac": {"aggregate": False}})
    assert not [o for o in objects if o["kind"] in ("ClusterRole", "ClusterRoleBinding")]
    roles = [o for o in objects if o["kind"] == "Role" and o["metadata"]["namespace"] != "finetune-operator"]
    assert [o["metadata"]["namespace"] for o in roles] == ["team-a", "team-b"]
    cluster_wide = {r for o in roles for rule in o["rules"] for r in rule["resources"] if r.startswith("cluster")}
    assert cluster_wide == set()


def test_the_pod_is_that_of_the_manifests(root: Path) -> None:
    text = (root / "manifests" / "install" / "deployment.yaml").read_text(encoding="utf-8")
    shipped = yaml.safe_load(text)["spec"]["template"]["spec"]
    rendered = one(render(), "Deployment")["spec"]["template"]["spec"]
    for part in ("securityContext", "serviceAccountName", "terminationGracePeriodSeconds"):
        assert rendered[part] == shipped[part]
    for part in ("image", "command", "ports", "livenessProbe", "readinessProbe", "resources", "securityContext"):
        assert rendered["containers"][0][part] == shipped["containers"][0][part], part


def test_jobs_let_in_the_pods_of_the_chart() -> None:
    pod = one(render(), "Deployment")["spec"]["template"]["metadata"]
    assert pod["labels"][labels.NAME] == labels.OPERATOR


def test_the_operator_reads_its_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"namespaces": ["team-a"], **TOGGLES["settings"]}
    objects = render(values)
    file = tmp_path / "config.yaml"
    file.write_text(one(objects, "ConfigMap")["data"]["config.yaml"], encoding="utf-8")
    monkeypatch.setenv("FINETUNE_OPERATOR_CONFIG", str(file))
    settings = OperatorSettings()
    assert (settings.namespaces, settings.http_port, settings.log_level) == (("team-a",), 9090, "DEBUG")
    assert (settings.writes_per_second, settings.network_policies) == (50.5, False)
    assert settings.lease_name == "finetune-operator"
    port = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"]
    assert port == settings.http_port


def test_crds_are_kept_unless_told_otherwise() -> None:
    def kept(values: Object) -> list[bool]:
        crds = [o for o in render(values) if o["kind"] == "CustomResourceDefinition"]
        annotations = [o["metadata"].get("annotations", {}) for o in crds]
        return [a.get("helm.sh/resource-policy") == "keep" for a in annotations]

    assert kept({}) == [True] * 3
    assert kept({"crds": {"keep": False}}) == [False] * 3
    assert kept({"crds": {"enabled": False}}) == []


def test_a_changed_setting_makes_new_pods() -> None:
    def template(values: Object) -> Object:
        found: Object = one(render(values), "Deployment")["spec"]["template"]
        return found

    assert template({}) == template({})
    assert template({}) != template({"config": {"workers": 9}})
