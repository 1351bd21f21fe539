"""Manifests that ask for more than the tenant has or try to break their reader: name, change, words of the refusal."""

from __future__ import annotations

from finetune_api.objects import Object

Case = tuple[str, Object, str]

_BAD_TEXT = {
    "newline": "a\nb",
    "zero width": "a\u200bb",
    "bidi": "a\u202eb",
    "NUL": "a\x00b",
    "escape": "a\x1b[2Jb",
    "wide space": "a\u3000b",
    "command substitution": "$(id)",
    "backticks": "`id`",
    "next command": "x;id",
    "pipe": "x|id",
    "redirection": "x>y",
}
_POD_FIELDS: Object = {
    "privileged": True,
    "hostNetwork": True,
    "hostPID": True,
    "hostIPC": True,
    "serviceAccountName": "admin",
    "securityContext": {"runAsUser": 0},
    "volumes": [{"name": "root", "hostPath": {"path": "/"}}],
    "env": [{"name": "LD_PRELOAD", "value": "/x.so"}],
    "nodeName": "node-1",
    "schedulerName": "x",
    "priorityClassName": "system-node-critical",
    "template": {"spec": {"hostNetwork": True}},
}
_VARIABLES = (
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "LD_AUDIT",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PATH",
    "BASH_ENV",
    "GLIBC_TUNABLES",
    "FINETUNE_POD_IP",
    "JOB_COMPLETION_INDEX",
    "MASTER_ADDR",
    "RANK",
    "WORLD_SIZE",
    "TORCHELASTIC_RUN_ID",
)
_VOLUMES: dict[str, Object] = {
    "hostPath": {"path": "/"},
    "secret": {"secretName": "s"},
    "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]},
    "csi": {"driver": "d"},
    "nfs": {"server": "s", "path": "/"},
    "iscsi": {"targetPortal": "p", "iqn": "i", "lun": 0},
}
_MOUNTS = ("/", "relative", "/etc/finetune", "/workspace/x", "/claims", "/tmp", "/dev/shm", "/proc", "/sys/fs/cgroup",
           "/var/run/secrets/kubernetes.io/serviceaccount", "/a/../../etc", "/a:/b", "/a\nb")  # fmt: skip

UNKNOWN_IN_A_JOB: list[Case] = [(f"pod field {name}", {name: value}, name) for name, value in _POD_FIELDS.items()]
"""Fields that a FineTuneJob does not have: refused, or dropped where the client asks for no validation."""

JOB_CASES: list[Case] = [
    *((f"uri with {name}", {"data.sources.0.uri": text}, "uri") for name, text in _BAD_TEXT.items()),
    *((f"name that is {text!r}", {"data.sources.0.name": text}, "name") for text in ("$(id)", "a\u202eb", "../x", "")),
    *((f"model uri {text}", {"model": {"from": {"uri": text}}}, "uri") for text in ("..", "../x", "pvc://../x")),
    ("shell in a revision", {"model": {"from": {"uri": "hf://a/b", "revision": "--upload-pack=x"}}}, "revision"),
    ("shell in a language", {"data.sources.0.languages": ["en", ";id"]}, "languages"),
    ("shell in a direction", {"adapt.task.direction": "en-es;id"}, "direction"),
    ("shell in a target of LoRA", {"adapt.lora": {"targets": ["q_proj;id"]}}, "targets"),
    ("parent of a claim", {"data.sources.0.uri": "pvc://../x"}, "uri"),
    ("parent within a claim", {"data.sources.0.uri": "pvc://a/../../b"}, "uri"),
    ("a claim of another namespace", {"workspace.claimName": "other/data"}, "claimName"),
    ("a storage class that is a path", {"workspace": {"create": {"size": "1Gi", "storageClassName": "../x"}}},
     "storageClassName"),
    ("a claim without end", {"workspace": {"create": {"size": "9" * 40}}}, "size"),
    ("a parent that is a path", {"lineage": {"parent": "../other"}}, "parent"),
    ("a megabyte", {"data.sources.0.uri": "x" * (1 << 20)}, "uri"),
    ("a megabyte of rationale", {"lineage": {"rationale": "x" * (1 << 20)}}, "rationale"),
    ("a million nodes", {"parallelism.nodes": 10**6}, "nodes"),
    ("negative nodes", {"parallelism.nodes": -1}, "nodes"),
    ("nodes beyond 64 bits", {"parallelism.nodes": 10**30}, "nodes"),
    ("ten thousand sources", {"data.sources": [{"name": f"s{i}", "type": "Text", "languages": ["en"], "uri": "x"}
                                               for i in range(10_000)]}, "sources"),
    ("runtime of a kind that is not there", {"runtimeRef": {"kind": "Pod"}}, "kind"),
    ("runtime with a path as name", {"runtimeRef": {"name": "../cpu"}}, "name"),
]  # fmt: skip
"""Of a FineTuneJob; paths as in `unit.admission.rule_cases.changed`."""

RUNTIME_CASES: list[Case] = [
    *((f"volume {kind}", {"volumes": [{"name": "v", kind: value}]}, "volumes") for kind, value in _VOLUMES.items()),
    ("volume of two types", {"volumes": [{"name": "v", "emptyDir": {}, "configMap": {"name": "c"}}]}, "volumes"),
    *((f"variable {name}", {"environment": [{"name": name, "value": "x"}]}, "environment") for name in _VARIABLES),
    *((f"mount at {path!r}", {"volumeMounts": [{"name": "v", "mountPath": path}]}, "mountPath") for path in _MOUNTS),
    ("mount of a parent", {"volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "a/../../b"}]}, "subPath"),
    ("a priority of the system", {"scheduling": {"priorityClassName": "system-node-critical"}}, "priorityClassName"),
    ("an image with a shell", {"image": "x;id"}, "image"),
    ("no number of CPUs", {"resources": {"limits": {"cpu": "a lot"}}}, "limits"),
    ("a negative size", {"sharedMemory": "-1Gi"}, "sharedMemory"),
]
"""Of a FineTuneRuntime: fields of its spec."""
