{{/*
What it takes to give every target back what it had: all that the operator may, since the Job does the operator's work
itself where none holds the Lease any more.
*/}}
{{- define "tidegate.releaseRules" -}}
{{ include "tidegate.controller.rules.served" . }}
{{- if not .Subcharts.controller.Values.watchNamespaces }}
{{ include "tidegate.controller.rules.cluster" . }}
{{- end }}
{{- end -}}

{{/* What it takes to remove what the operator made beside the release, by name. */}}
{{- define "tidegate.tracesRules.served" -}}
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [tidegate-ca]
  verbs: [list, delete]
{{- end -}}

{{- define "tidegate.tracesRules.own" -}}
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [tidegate-ca]
  verbs: [delete]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [tidegate-controller]
  verbs: [delete]
{{- end -}}
