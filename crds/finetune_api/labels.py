"""Label, annotation and environment keys."""

from finetune_api.base import GROUP

JOB = f"{GROUP}/job"
STAGE = f"{GROUP}/stage"
ATTEMPT = f"{GROUP}/attempt"
RANK = f"{GROUP}/rank"
PLAN_DIGEST = f"{GROUP}/plan-digest"
MANIFEST = f"{GROUP}/manifest"
"""Annotation of a local job: the file it was read from."""

MANAGED_BY = "app.kubernetes.io/managed-by"
COMPONENT = "app.kubernetes.io/component"
INSTANCE = "app.kubernetes.io/instance"
PART_OF = "app.kubernetes.io/part-of"
NAME = "app.kubernetes.io/name"
OPERATOR = "finetune-operator"

JOB_COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"
JOB_NAME = "batch.kubernetes.io/job-name"

ENV_NODES = "FINETUNE_NODES"
"""Pods of the gang."""
ENV_NODE_RANK = "JOB_COMPLETION_INDEX"
"""Set by Kubernetes in every pod of an Indexed Job."""
ENV_RENDEZVOUS_HOST = "FINETUNE_RENDEZVOUS_HOST"
ENV_RENDEZVOUS_PORT = "FINETUNE_RENDEZVOUS_PORT"
ENV_POD_IP = "FINETUNE_POD_IP"
"""Address on which /progress and /metrics are served."""
ENV_PROGRESS_PORT = "FINETUNE_PROGRESS_PORT"
"""Port of local rank 0's /progress and /metrics; local rank n serves /metrics on port + n."""
ENV_TERMINATION_LOG = "FINETUNE_TERMINATION_LOG"
ENV_PEAK_FLOPS = "DEVICE_PEAK_FLOPS"
"""Dense bfloat16 FLOP/s of one device, where the trainer does not know it; a runtime may set it."""
ENV_NEURAL_METRICS = "FINETUNE_NEURAL_METRICS"
"""Command of the program that computes neural metrics; the image sets it."""

RENDEZVOUS_PORT = 29500
PROGRESS_PORT = 9400
REPORT_PATH = "/report"
"""Where rank 0 serves report.json while its phase is Publishing."""
REPORT_PUBLISHED_PATH = "/report/published"
"""Posted to once the report is published: rank 0 need not wait any longer."""
REPORT_MAX_BYTES = 900 * 1024
"""A ConfigMap holds 1 MiB."""
PLAN_MOUNT = "/etc/finetune"
PLAN_FILE = "plan.json"
RUNTIME_KEY = "runtime.json"
"""Key of the runtime's snapshot in the ConfigMap of a job's first gang."""
WORKSPACE_MOUNT = "/workspace"
SHARED_MEMORY_MOUNT = "/dev/shm"  # noqa: S108 - a mount in the pod, not a file here
TMP_MOUNT = "/tmp"  # noqa: S108 - likewise
CLAIM_SCHEME = "pvc://"
CLAIMS_MOUNT = "/claims"
"""Where `pvc://claim/path` is: `/claims/claim/path`."""
TERMINATION_LOG = "/dev/termination-log"
CONTAINER = "trainer"
