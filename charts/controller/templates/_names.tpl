{{/* One operator a namespace, under a name that servers know: it is part of the link's certificate and address. */}}
{{- define "tidegate.controller.name" -}}tidegate-controller{{- end -}}

{{- define "tidegate.controller.selector" -}}
app.kubernetes.io/name: tidegate-controller
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tidegate.controller.labels" -}}
{{ include "tidegate.controller.selector" . }}
app.kubernetes.io/part-of: tidegate
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "tidegate.controller.image" -}}
{{- with .Values.image -}}
{{- /* --set image.tag=1 gives a number. */ -}}
{{- $tag := kindIs "string" .tag | ternary .tag (.tag | int64 | toString) -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ $tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end -}}

{{- define "tidegate.controller.testLabels" -}}
app.kubernetes.io/name: tidegate-controller-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
