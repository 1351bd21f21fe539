{{- define "finetune-operator.fullname" -}}
{{- $name := .Values.fullnameOverride | default (ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name)) -}}
{{- if gt (len $name) 52 -}}
{{- fail (printf "the name %s has %d characters and may have 52: choose a shorter release name, or set fullnameOverride" $name (len $name)) -}}
{{- end -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- fail (printf "the name %s is none for a Service, which begins with a letter and has letters a-z, digits and - only: choose another release name, or set fullnameOverride" $name) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{- define "finetune-operator.selectorLabels" -}}
app.kubernetes.io/name: finetune-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- /* What a label can hold of a version. */ -}}
{{- define "finetune-operator.labelValue" -}}
{{- regexReplaceAll "[^A-Za-z0-9]+$" (. | replace "+" "_" | trunc 63) "" -}}
{{- end -}}

{{- define "finetune-operator.labels" -}}
{{ include "finetune-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ include "finetune-operator.labelValue" .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: finetune-operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ include "finetune-operator.labelValue" (printf "%s-%s" .Chart.Name .Chart.Version) }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Labels and annotations of an object; the argument is a list of the root and the object's own annotations. */ -}}
{{- define "finetune-operator.metadata" -}}
{{- $root := index . 0 -}}
{{- $own := index . 1 -}}
labels:
  {{- include "finetune-operator.labels" $root | nindent 2 }}
{{- with merge (dict) $own $root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "finetune-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "finetune-operator.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "finetune-operator.image" -}}
{{- $place := printf "%s/%s" .Values.image.registry .Values.image.repository | trimPrefix "/" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $place .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $place (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- /* The arguments: root, what the values say, and what its tag ends with. */ -}}
{{- define "finetune-operator.trainerImage" -}}
{{- $image := (index . 0).Values.image -}}
{{- $tag := printf "%s%s" ($image.tag | default (index . 0).Chart.AppVersion) (index . 2) -}}
{{- index . 1 | default (printf "%s/finetune-operator/trainer:%s" $image.registry $tag | trimPrefix "/") -}}
{{- end -}}

{{- /* localhost/… is what a build names an image; no node finds a registry there. */ -}}
{{- define "finetune-operator.refuseUnpublished" -}}
{{- $used := list (include "finetune-operator.image" .) -}}
{{- with .Values.runtimes.cpu -}}
{{- if .enabled -}}{{- $used = append $used (include "finetune-operator.trainerImage" (list $ .image "")) -}}{{- end -}}
{{- end -}}
{{- with .Values.runtimes.cuda -}}
{{- if .enabled -}}{{- $used = append $used (include "finetune-operator.trainerImage" (list $ .image "-cuda")) -}}{{- end -}}
{{- end -}}
{{- $missing := list -}}
{{- $commands := list -}}
{{- range $used -}}
{{- if hasPrefix "localhost/" . -}}
{{- $missing = append $missing . -}}
{{- $pushed := printf "registry.example.com/%s" (trimPrefix "localhost/" .) -}}
{{- $commands = append $commands (printf "  docker tag %s %s && docker push %s" . $pushed $pushed) -}}
{{- end -}}
{{- end -}}
{{- if and $missing (not .Values.imagesOnNodes) -}}
{{- fail (printf "\nno registry has %s: images are not published. Build them in a checkout, push them to a registry of yours:\n  make image\n%s\nand install with --set image.registry=registry.example.com. If every node has them already (kind load, ctr images import), install with --set imagesOnNodes=true. More: docs/images.md" (join " and " $missing) (join "\n" $commands)) -}}
{{- end -}}
{{- end -}}

{{- define "finetune-operator.port" -}}
{{- .Values.config.httpPort | default 8080 -}}
{{- end -}}

{{- define "finetune-operator.subject" -}}
- kind: ServiceAccount
  name: {{ include "finetune-operator.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}

{{- /* What the operator may do in the namespaces it serves. No verb on Secrets, none on roles, none on nodes. */ -}}
{{- define "finetune-operator.rules" -}}
- apiGroups: [finetune-operator.io]
  resources: [finetunejobs]
  verbs: [get, list, watch, delete]
- apiGroups: [finetune-operator.io]
  resources: [finetunejobs/status]
  verbs: [patch]
- apiGroups: [finetune-operator.io]
  resources: [finetuneruntimes{{ if not .Values.namespaces }}, clusterfinetuneruntimes{{ end }}]
  verbs: [get, list, watch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [configmaps, services]
  verbs: [get, list, create, patch, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, create, patch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, create, patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{- /* The arguments: root, API version and kind, the value, and how the kind comes into the cluster. */ -}}
{{- define "finetune-operator.needs" -}}
{{- $root := index . 0 -}}
{{- $kind := index . 1 -}}
{{- $value := index . 2 -}}
{{- $remedy := index . 3 -}}
{{- if not ($root.Capabilities.APIVersions.Has $kind) -}}
{{- fail (printf "%s needs the CRD %s %s (helm template: --api-versions %s)" $value (base $kind) $remedy $kind) -}}
{{- end -}}
{{- end -}}

{{- define "finetune-operator.needsMonitoring" -}}
{{- $kind := printf "monitoring.coreos.com/v1/%s" (index . 1) -}}
{{- include "finetune-operator.needs" (list (index . 0) $kind (index . 2) "of the Prometheus Operator: install that first, or set it to false") -}}
{{- end -}}

{{- /* A release cannot bring a kind and an object of it at once: Helm asks the cluster for all kinds beforehand. */ -}}
{{- define "finetune-operator.needsRuntimes" -}}
{{- $kind := "finetune-operator.io/v1alpha1/ClusterFineTuneRuntime" -}}
{{- include "finetune-operator.needs" (list (index . 0) $kind (index . 1) "in the cluster: install once without it, then run helm upgrade with it") -}}
{{- end -}}

{{- /* The image policy would refuse what the release itself brings; the arguments: root, image, and its value. */ -}}
{{- define "finetune-operator.allowedImage" -}}
{{- $policy := (index . 0).Values.imagePolicy -}}
{{- $image := index . 1 -}}
{{- $isFromThere := not $policy.prefixes -}}
{{- range $policy.prefixes -}}
{{- $isFromThere = or $isFromThere (hasPrefix . $image) -}}
{{- end -}}
{{- $hasDigest := regexMatch "@sha256:[0-9a-f]{64}$" $image -}}
{{- if and $policy.enabled (not (and $isFromThere (or $hasDigest (not $policy.requireDigest)))) -}}
{{- fail (printf "%s: %s is not what imagePolicy allows" (index . 2) $image) -}}
{{- end -}}
{{- end -}}

{{- /* Groups of rules from a file of rules/, with thresholds, runbooks and labels in; disabled alerts are left out. */ -}}
{{- define "finetune-operator.ruleGroups" -}}
{{- $root := index . 0 -}}
{{- $rules := $root.Values.monitoring.rules -}}
{{- $text := $root.Files.Get (index . 1) -}}
{{- range $name, $value := $rules.thresholds -}}
{{- $text = $text | replace (printf "threshold(%s)" $name) (toString $value) -}}
{{- end -}}
{{- range $group := (fromYaml $text).groups -}}
{{- $kept := list -}}
{{- range $rule := $group.rules -}}
{{- if $rule.alert -}}
{{- $book := printf "%s.md#%s" (trimPrefix "finetune-" $group.name) (lower $rule.alert) -}}
{{- $_ := set $rule.annotations "runbook_url" (printf "%s/%s" ($rules.runbooks | default "docs/runbooks") $book) -}}
{{- $_ := set $rule "labels" (merge (dict) $rules.alertLabels $rule.labels) -}}
{{- end -}}
{{- if not (has $rule.alert $rules.disabled) -}}
{{- $kept = append $kept $rule -}}
{{- end -}}
{{- end }}
{{- if $kept }}
- name: {{ $group.name }}
  rules:
    {{- toYaml $kept | nindent 4 }}
{{- end }}
{{- end -}}
{{- end -}}
