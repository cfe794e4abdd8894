{{/* What the schema cannot say in words: settings that exclude each other. */}}
{{- define "tidegate.model.check" -}}
{{- $model := .Values.model -}}
{{- if and (eq $model.source "storageUri") (ne .Values.platform "kserve") -}}
{{- fail (printf "model.source=storageUri needs platform=kserve, got platform=%s; take an image or a pvc, or change the platform" .Values.platform) -}}
{{- end -}}
{{- if and (eq $model.source "storageUri") (not $model.storageUri) -}}
{{- fail "model.storageUri: is empty; model.source=storageUri needs the address that KServe fetches the model from" -}}
{{- end -}}
{{- if and (eq $model.source "pvc") (not $model.pvc.claimName) -}}
{{- fail "model.pvc.claimName: is empty; model.source=pvc needs the claim that holds the prepared folder" -}}
{{- end -}}
{{- if and $model.path (ne $model.source "image") -}}
{{- fail (printf "model.path=%s: is for model.source=image, got model.source=%s; the model then lies in /mnt/models" $model.path $model.source) -}}
{{- end -}}
{{- if and .Values.servingRuntime.create (ne .Values.platform "kserve") -}}
{{- fail (printf "servingRuntime.create needs platform=kserve, got platform=%s" .Values.platform) -}}
{{- end -}}
{{- if and .Values.servingRuntime.create (eq $model.source "image") -}}
{{- /* Without an address KServe takes the runtime for one that loads many models, and puts its agent in front. */ -}}
{{- fail "servingRuntime.create needs model.source=storageUri or pvc, got model.source=image; leave the runtime out for a model in the image" -}}
{{- end -}}
{{- with .Values.autoscaling.target -}}
{{- if and (eq $.Values.platform "kserve") (ne (float64 .) (floor .)) -}}
{{- fail (printf "autoscaling.target=%v: must be whole with platform=kserve; round it" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
