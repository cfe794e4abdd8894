{{/*
The server's environment, each name once: a map first, then a list. A setting that is not given is not in it, so the
server's default holds.
*/}}
{{- define "tidegate.model.environment" -}}
{{- $server := .Values.server -}}
{{- $all := dict -}}
{{- range $name, $value := dict "MODEL_NAME" .Values.model.name "MODEL" .Values.model.path "PRECISION" $server.precision }}
{{- with $value }}{{ $_ := set $all (print "TIDEGATE_" $name) . }}{{ end }}
{{- end }}
{{- range $name, $value := dict "WORKERS" $server.workers "MAX_BATCH_SIZE" $server.maxBatchSize "BATCH_TOKENS" $server.batchTokens "MAX_QUEUE_LENGTH" $server.maxQueueLength }}
{{- with $value }}{{ $_ := set $all (print "TIDEGATE_" $name) (int64 . | toString) }}{{ end }}
{{- end }}
{{- range $name, $value := dict "MAX_QUEUE_DELAY_S" $server.maxQueueDelay "REQUEST_TIMEOUT_S" $server.requestTimeout }}
{{- with $value }}{{ $_ := set $all (print "TIDEGATE_" $name) (include "tidegate.model.seconds" .) }}{{ end }}
{{- end }}
{{- if .Values.link.enabled }}
{{- $_ := set $all "TIDEGATE_CONTROLLER_URL" (printf "https://tidegate-controller.%s.svc:8443" (include "tidegate.model.controllerNamespace" .)) }}
{{- $_ := set $all "TIDEGATE_CONTROLLER_TOKEN_FILE" "/var/run/tidegate/token" }}
{{- $_ := set $all "TIDEGATE_CONTROLLER_CA_FILE" "/var/run/tidegate/ca.crt" }}
{{- $_ := set $all "TIDEGATE_HOT_SETTINGS_FILE" "/var/run/tidegate/hot-settings.json" }}
{{- end }}
{{- if and (eq .Values.platform "kserve") (not .Values.servingRuntime.create) (include "tidegate.model.fetched" .) }}
{{- /* How a container of one's own asks KServe for a model. */}}
{{- $_ := set $all "STORAGE_URI" (include "tidegate.model.fetched" .) }}
{{- end }}
{{- range $name, $value := .Values.server.env }}
{{- if hasKey $all $name }}
{{- fail (printf "server.env.%s: is set by another value of this chart already; leave one of them out" $name) }}
{{- end }}
{{- $_ := set $all $name $value }}
{{- end }}
{{- range $name, $value := $all }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end -}}
