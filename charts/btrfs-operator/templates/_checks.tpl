{{/* Values that would crash a process, or blind it, are refused here where the schema can't: each message says the way out. */}}

{{- define "btrfs-operator.checkController" -}}
{{- $election := .Values.controller.leaderElection -}}
{{- if ge (float64 $election.renewDeadlineSeconds) (float64 $election.leaseSeconds) -}}
{{- fail (printf "controller.leaderElection.renewDeadlineSeconds %v has to be less than leaseSeconds %v, or a second controller begins before the first has given up: raise leaseSeconds" $election.renewDeadlineSeconds $election.leaseSeconds) -}}
{{- end -}}
{{- if ge (float64 $election.retrySeconds) (float64 $election.renewDeadlineSeconds) -}}
{{- fail (printf "controller.leaderElection.retrySeconds %v has to be less than renewDeadlineSeconds %v, or no try to renew is left: lower retrySeconds" $election.retrySeconds $election.renewDeadlineSeconds) -}}
{{- end -}}
{{- include "btrfs-operator.checkExtraArgs" (dict "component" "controller" "args" .Values.controller.extraArgs "instead" (dict
      "leader-election" "there are two controllers while one replaces the other, so one has to lead"
      "identity" "it is the name of the pod"
      "agent-service-account" "set agent.serviceAccount.name")) -}}
{{- end -}}

{{- define "btrfs-operator.checkAgent" -}}
{{- $agent := .Values.agent -}}
{{- if gt (mulf $agent.lease.renewSeconds 2.0) (float64 $agent.lease.durationSeconds) -}}
{{- fail (printf "agent.lease.renewSeconds %v is more than half of agent.lease.durationSeconds %v: lower it, or a renewal that is late loses the node" $agent.lease.renewSeconds $agent.lease.durationSeconds) -}}
{{- end -}}
{{- if regexMatch "^/(bin|boot|dev|etc|lib[^/]*|proc|run|sbin|sys|tmp|usr)(/|$)" $agent.root -}}
{{- fail (printf "agent.root %s would hide what the agent's container needs there, or is gone after a reboot: choose a directory of a disk, such as /var/lib/btrfs-operator" $agent.root) -}}
{{- end -}}
{{- include "btrfs-operator.checkExtraArgs" (dict "component" "agent" "args" $agent.extraArgs "instead" (dict
      "node-name" "it is the name of the node"
      "root" "set agent.root"
      "command-path" "the image has the programs where they are"
      "transfer-address" "set agent.transfer.port"
      "transfer-advertise-host" "it is the address of the pod"
      "download-ca-file" "set agent.downloads.caConfigMap")) -}}
{{- end -}}

{{/* The pod is made for the addresses, the namespace and the time that the chart sets: another flag would leave it without probes or rights. */}}
{{- define "btrfs-operator.checkExtraArgs" -}}
{{- $instead := merge .instead (dict
      "health-address" "probes ask port 8081"
      "metrics-address" "metrics are on port 8080"
      "namespace" "it is the namespace of the release"
      "kubeconfig" "the pod has its service account"
      "shutdown-grace-seconds" (printf "set %s.shutdownGraceSeconds" .component)
      "help" "a process that prints its help ends"
      "version" "a process that prints its version ends") -}}
{{- range .args -}}
{{- $flag := regexReplaceAll "^--([^=]*).*$" . "${1}" -}}
{{- with get $instead $flag -}}
{{- fail (printf "%s.extraArgs can't have --%s: %s" $.component $flag .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
