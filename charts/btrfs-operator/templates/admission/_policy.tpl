{{/*
A ValidatingAdmissionPolicy for what one service account writes, and its binding. Takes a dict: root, component, name,
account, rules (text), validations (text); `own` is the node that the API server has proven the account's token to be on.
*/}}
{{- define "btrfs-operator.admissionPolicy" -}}
{{- $name := printf "%s-%s" (include "btrfs-operator.fullname" .root) .name }}
{{- $labels := include "btrfs-operator.labels" (dict "root" .root "component" .component) }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {{ $name }}
  labels:
    {{- $labels | nindent 4 }}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      {{- .rules | nindent 6 }}
  matchConditions:
    - name: is-{{ .component }}
      expression: request.userInfo.username == 'system:serviceaccount:{{ .root.Release.Namespace }}:{{ .account }}'
  variables:
    - name: own
      expression: request.userInfo.?extra[?'authentication.kubernetes.io/node-name'][?0].orValue('')
  validations:
    {{- .validations | nindent 4 }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ $name }}
  labels:
    {{- $labels | nindent 4 }}
spec:
  policyName: {{ $name }}
  validationActions: [Deny]
{{- end -}}
