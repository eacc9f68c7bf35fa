{{/* Metadata of a ValidatingAdmissionPolicy. Takes (dict "root" $ "component" "agent" "policy" "agent-objects"). */}}
{{- define "btrfs-operator.policyMetadata" -}}
name: {{ include "btrfs-operator.fullname" .root }}-{{ .policy }}
labels:
  {{- include "btrfs-operator.labels" . | nindent 2 }}
{{- end -}}

{{/*
The policy is for what the agents write. `own` is the node that the API server has proven the asker's token to be on: that
is bound to a pod, and the pod to the node.
*/}}
{{- define "btrfs-operator.policyOfAgent" -}}
failurePolicy: Fail
matchConditions:
  - name: is-agent
    expression: request.userInfo.username == 'system:serviceaccount:{{ .Release.Namespace }}:{{ include "btrfs-operator.agentServiceAccount" . }}'
variables:
  - name: own
    expression: request.userInfo.?extra[?'authentication.kubernetes.io/node-name'][?0].orValue('')
{{- end -}}

{{/* The policy is for what the controller writes. */}}
{{- define "btrfs-operator.policyOfController" -}}
failurePolicy: Fail
matchConditions:
  - name: is-controller
    expression: request.userInfo.username == 'system:serviceaccount:{{ .Release.Namespace }}:{{ include "btrfs-operator.controllerServiceAccount" . }}'
{{- end -}}

{{/* First of the validations of an agent: it is known where it is. */}}
{{- define "btrfs-operator.ownNodeKnown" -}}
- expression: variables.own != ''
  reason: Forbidden
  message: the token of this agent is not bound to a pod on a node (no claim of a node name)
{{- end -}}
