{{/* The operator's environment; the hooks of the umbrella chart run the same program with the same one. */}}
{{- define "tidegate.controller.environment" -}}
- name: TIDEGATE_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: TIDEGATE_WATCH_NAMESPACES
  value: {{ join "," .Values.watchNamespaces | quote }}
- name: TIDEGATE_SERVICE_NAME
  value: {{ include "tidegate.controller.name" . }}
- name: TIDEGATE_LINK_PORT
  value: "8443"
- name: TIDEGATE_STATUS_PORT
  value: "8081"
{{- with .Values.prometheus.url }}
- name: TIDEGATE_PROMETHEUS_URL
  value: {{ . | quote }}
{{- end }}
- name: TIDEGATE_LOADTEST_IMAGE
  value: {{ .Values.loadtest.image | default (printf "tidegate-loadtest:%s" .Chart.AppVersion) | quote }}
{{- with .Values.logLevel }}
- name: TIDEGATE_LOG_LEVEL
  value: {{ . }}
{{- end }}
{{- end -}}
