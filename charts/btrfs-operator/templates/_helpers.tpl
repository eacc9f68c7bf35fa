{{- define "btrfs-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* What the names of objects begin with: short enough for a component after it. */}}
{{- define "btrfs-operator.fullname" -}}
{{- $name := include "btrfs-operator.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that a selector may have: they never change. Takes (dict "root" $ "component" "agent"). */}}
{{- define "btrfs-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "btrfs-operator.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of an object. Takes the same, and "more" labels that a user wants; an object of no component has none in it. */}}
{{- define "btrfs-operator.labels" -}}
{{- $labels := dict
      "app.kubernetes.io/name" (include "btrfs-operator.name" .root)
      "app.kubernetes.io/instance" .root.Release.Name
      "app.kubernetes.io/part-of" "btrfs-operator"
      "app.kubernetes.io/managed-by" .root.Release.Service
      "app.kubernetes.io/version" .root.Chart.AppVersion
      "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- with .component }}{{ $_ := set $labels "app.kubernetes.io/component" . }}{{ end -}}
{{- range $key, $_ := merge (dict) (default dict .more) (default dict .root.Values.commonLabels) -}}
{{- if hasKey $labels $key -}}
{{- fail (printf "%s can't be set as a label: the chart sets it, and selectors go by it; choose another key" $key) -}}
{{- end -}}
{{- end -}}
{{- toYaml (merge $labels (default dict .more) (default dict .root.Values.commonLabels)) -}}
{{- end -}}

{{- define "btrfs-operator.controllerServiceAccount" -}}
{{- default (printf "%s-controller" (include "btrfs-operator.fullname" .)) .Values.controller.serviceAccount.name -}}
{{- end -}}

{{/* The policies tell who asks by the account: with one for both, either would be refused what the other may do. */}}
{{- define "btrfs-operator.agentServiceAccount" -}}
{{- $name := default (printf "%s-agent" (include "btrfs-operator.fullname" .)) .Values.agent.serviceAccount.name -}}
{{- if eq $name (include "btrfs-operator.controllerServiceAccount" .) -}}
{{- fail (printf "agent.serviceAccount.name %q is the account of the controller; each needs one of its own" $name) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{- define "btrfs-operator.image" -}}
{{- with .Values.global.imageRegistry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- .Values.image.repository -}}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ default .Chart.AppVersion .Values.image.tag }}{{ end -}}
{{- end -}}

{{/* A flag of the operator that is On or Off. */}}
{{- define "btrfs-operator.onOff" -}}
{{- if . }}On{{ else }}Off{{ end -}}
{{- end -}}

{{/* Helm knows a number as a float, which would print as 2e+10. */}}
{{- define "btrfs-operator.quantity" -}}
{{- if kindIs "float64" . }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{- define "btrfs-operator.probes" -}}
startupProbe:
  httpGet:
    path: /healthz
    port: health
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet:
    path: /healthz
    port: health
  periodSeconds: 20
  timeoutSeconds: 10
  failureThreshold: 3
readinessProbe:
  httpGet:
    path: /readyz
    port: health
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
{{- end -}}
