{{- define "tidegate.labels" -}}
app.kubernetes.io/name: tidegate
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: tidegate
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Pod of a hook: the operator's image, security and place, with an account of its own. Takes root and account. */}}
{{- define "tidegate.hookPod" -}}
{{- $controller := .root.Subcharts.controller -}}
restartPolicy: Never
serviceAccountName: {{ .account }}
automountServiceAccountToken: true
enableServiceLinks: false
securityContext: {{- include "tidegate.controller.podSecurity" $controller | nindent 2 }}
{{- with $controller.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $controller.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $controller.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "tidegate.hookContainer" -}}
{{- $controller := .Subcharts.controller -}}
image: {{ include "tidegate.controller.image" $controller }}
imagePullPolicy: {{ $controller.Values.image.pullPolicy }}
resources: {{- toYaml $controller.Values.resources | nindent 2 }}
securityContext: {{- include "tidegate.controller.containerSecurity" $controller | nindent 2 }}
{{- end -}}

{{- define "tidegate.definitionsHook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{- define "tidegate.releaseHook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{- define "tidegate.tracesHook" -}}
helm.sh/hook: post-delete
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
