{{/* A Job cannot be changed, so other values are another Job; the same values are the same campaign, done once. */}}
{{- define "tidegate.load.name" -}}
{{- $what := toJson (dict "values" (omit .Values "global") "chart" .Chart.Version "app" .Chart.AppVersion) -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}-{{ sha256sum $what | trunc 8 }}
{{- end -}}

{{- define "tidegate.load.labels" -}}
app.kubernetes.io/name: tidegate-loadtest
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: tidegate
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "tidegate.load.image" -}}
{{- with .Values.image -}}
{{- /* --set image.tag=1 gives a number. */ -}}
{{- $tag := kindIs "string" .tag | ternary .tag (.tag | int64 | toString) -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ $tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end -}}

{{/* A folder of this campaign's own, so that results on a claim are never replaced. */}}
{{- define "tidegate.load.out" -}}
/results/{{ .Values.results.folder }}-{{ include "tidegate.load.name" . }}
{{- end -}}
