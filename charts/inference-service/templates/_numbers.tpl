{{/* A number as text; Helm holds whole ones from files as floats and would write a million as 1e+06. */}}
{{- define "tidegate.model.number" -}}
{{- if eq (float64 .) (floor .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{/* Seconds of a duration such as 10ms. */}}
{{- define "tidegate.model.seconds" -}}
{{- $number := regexFind "^[0-9.]+" . -}}
{{- $unit := trimPrefix $number . -}}
{{- $units := dict "us" "0.000001" "ms" "0.001" "s" "1" "m" "60" "h" "3600" -}}
{{- mulf ($number | float64) (get $units $unit | float64) -}}
{{- end -}}

{{/*
Requests that a pod takes in parallel: 1.5 x largest batch x workers, at least 4. What waits beyond it waits in
queue-proxy, where neither batches nor deadlines are known, so it covers the largest batch that a tuning may choose.
8 and 1 are the server's defaults; a test compares them.
*/}}
{{- define "tidegate.model.containerConcurrency" -}}
{{- if not (kindIs "invalid" .Values.containerConcurrency) -}}
{{ int .Values.containerConcurrency }}
{{- else -}}
{{- $batch := int (.Values.server.maxBatchSize | default 8) -}}
{{- if .Values.tuning.enabled -}}
{{- $batch = max $batch (int (dig "maxBatchSize" "max" 0 .Values.tuning.bounds)) -}}
{{- end -}}
{{- $workers := int (.Values.server.workers | default 1) -}}
{{ max 4 (divf (mul 3 $batch $workers) 2 | ceil | int) }}
{{- end -}}
{{- end -}}
