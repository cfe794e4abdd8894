{{- define "tidegate.model.name" -}}
{{ .Values.name | default .Release.Name }}
{{- end -}}

{{/* Knative's Service: the address, the label on the pods and the name in ConfigMaps of the operator. */}}
{{- define "tidegate.model.service" -}}
{{ include "tidegate.model.name" . }}{{ if eq .Values.platform "kserve" }}-predictor{{ end }}
{{- end -}}

{{/*
No version of chart or image among them: KServe copies an InferenceService's labels into the revision, so an upgrade of
the chart would replace every pod.
*/}}
{{- define "tidegate.model.labels" -}}
app.kubernetes.io/name: {{ include "tidegate.model.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: tidegate
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Pods by the label that Knative gives them, on either platform. */}}
{{- define "tidegate.model.selector" -}}
serving.knative.dev/service: {{ include "tidegate.model.service" . }}
{{- end -}}

{{- define "tidegate.model.image" -}}
{{- with .Values.image -}}
{{- /* --set image.tag=1 gives a number. */ -}}
{{- $tag := kindIs "string" .tag | ternary .tag (.tag | int64 | toString) -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ $tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end -}}

{{- define "tidegate.model.runtime" -}}
{{ .Values.servingRuntime.name | default (include "tidegate.model.name" .) }}
{{- end -}}

{{- define "tidegate.model.controllerNamespace" -}}
{{ .Values.link.controllerNamespace | default .Release.Namespace }}
{{- end -}}

{{/* Inside the cluster; the gateway knows the host without the cluster's domain. */}}
{{- define "tidegate.model.url" -}}
http://{{ include "tidegate.model.service" . }}.{{ .Release.Namespace }}.svc/v1/models/{{ .Values.model.name | default "distilbert" }}:predict
{{- end -}}
