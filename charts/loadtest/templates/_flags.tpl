{{/* Flags of the run; a master and its workers get the same ones. */}}
{{- define "tidegate.load.flags" -}}
- --host={{ required "host: is missing; give the base URL of the service, such as http://distilbert.default.svc" .Values.host }}
- {{ printf "--arrivals=%s" (required "arrivals: is missing; give an arrivals document, such as {kind: poisson, rate_rps: 10}" .Values.arrivals | toJson) | squote }}
- --duration={{ include "tidegate.load.number" .Values.durationSeconds }}
- --out={{ include "tidegate.load.out" . }}
{{- range $flag, $value := dict "payloads" .Values.payloads "protocol" .Values.protocol "model-name" .Values.modelName }}
{{- with $value }}
- --{{ $flag }}={{ . }}
{{- end }}
{{- end }}
{{- range $flag, $value := dict "seed" .Values.seed "warm-up-s" .Values.warmUpSeconds "timeout-s" .Values.timeoutSeconds "max-in-flight" .Values.maxInFlight }}
{{- if not (kindIs "invalid" $value) }}
- --{{ $flag }}={{ include "tidegate.load.number" $value }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Whole numbers from files are floats to Helm, and large ones would be written as 1e+06. */}}
{{- define "tidegate.load.number" -}}
{{- if eq (float64 .) (floor .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}
