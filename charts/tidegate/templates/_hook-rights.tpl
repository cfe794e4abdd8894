{{/*
Account and rights of a hook, which live as long as it does. Takes root, name, hook (name of the template with its
annotations), served (name of the template with rules for what is served) and, if there are any, own (for the
release's namespace). Rights come before their binding, the binding before the hook's Job.
*/}}
{{- define "tidegate.hookRights" -}}
{{- $root := .root }}
{{- $name := .name }}
{{- $hook := include .hook $root }}
{{- $labels := include "tidegate.labels" $root }}
{{- $home := $root.Release.Namespace }}
{{- $watched := $root.Subcharts.controller.Values.watchNamespaces | default list | uniq }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}
  namespace: {{ $home }}
  labels: {{- $labels | nindent 4 }}
  annotations:
    {{- $hook | nindent 4 }}
    helm.sh/hook-weight: "-20"
automountServiceAccountToken: false
{{- if not $watched }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ $home }}-{{ $name }}
  labels: {{- $labels | nindent 4 }}
  annotations:
    {{- $hook | nindent 4 }}
    helm.sh/hook-weight: "-20"
rules:
{{ include .served $root }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ $home }}-{{ $name }}
  labels: {{- $labels | nindent 4 }}
  annotations:
    {{- $hook | nindent 4 }}
    helm.sh/hook-weight: "-10"
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {{ $home }}-{{ $name }}}
subjects:
  - {kind: ServiceAccount, name: {{ $name }}, namespace: {{ $home }}}
{{- end }}
{{- $roles := list }}
{{- range $watched }}
{{- $roles = append $roles (dict "namespace" . "name" $name "rules" (include $.served $root)) }}
{{- end }}
{{- if .own }}
{{- $roles = append $roles (dict "namespace" $home "name" (printf "%s-own" $name) "rules" (include .own $root)) }}
{{- end }}
{{- range $roles }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels: {{- $labels | nindent 4 }}
  annotations:
    {{- $hook | nindent 4 }}
    helm.sh/hook-weight: "-20"
rules:
{{ .rules }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels: {{- $labels | nindent 4 }}
  annotations:
    {{- $hook | nindent 4 }}
    helm.sh/hook-weight: "-10"
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ .name }}}
subjects:
  - {kind: ServiceAccount, name: {{ $name }}, namespace: {{ $home }}}
{{- end }}
{{- end -}}
