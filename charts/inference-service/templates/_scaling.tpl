{{/* Annotations of a revision, by Knative's names, as a map; the bounds are fields of their own on KServe. */}}
{{- define "tidegate.model.annotations" -}}
{{- $scaling := .Values.autoscaling -}}
{{- $knative := eq .Values.platform "knative" -}}
{{- $numbers := dict
  "initial-scale" $scaling.initialScale
  "activation-scale" $scaling.activationScale
  "target-utilization-percentage" $scaling.targetUtilizationPercentage
  "target-burst-capacity" $scaling.targetBurstCapacity
  "panic-window-percentage" $scaling.panicWindowPercentage
  "panic-threshold-percentage" $scaling.panicThresholdPercentage -}}
{{- $texts := dict
  "window" $scaling.window
  "scale-down-delay" $scaling.scaleDownDelay
  "scale-to-zero-pod-retention-period" $scaling.scaleToZeroPodRetentionPeriod -}}
{{- if $knative -}}
{{- $_ := set $numbers "min-scale" $scaling.minScale -}}
{{- $_ := set $numbers "max-scale" $scaling.maxScale -}}
{{- $_ := set $numbers "target" $scaling.target -}}
{{- $_ := set $texts "metric" $scaling.metric -}}
{{- end -}}
{{- range $name, $value := $numbers }}
{{- if not (kindIs "invalid" $value) }}
autoscaling.knative.dev/{{ $name }}: {{ include "tidegate.model.number" $value | quote }}
{{- end }}
{{- end }}
{{- range $name, $value := $texts }}
{{- with $value }}
autoscaling.knative.dev/{{ $name }}: {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}
