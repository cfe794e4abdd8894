{{- define "tidegate.model.security" -}}
runAsNonRoot: true
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* The server's container as both platforms want it; what differs by service is in the next one. */}}
{{- define "tidegate.model.container" -}}
image: {{ include "tidegate.model.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
ports: [{containerPort: 8080, protocol: TCP}]
readinessProbe:
  # Without a period: Knative then asks every few milliseconds until the first success.
  httpGet: {path: /v2/health/ready, port: 8080}
  periodSeconds: 0
securityContext:
  {{- include "tidegate.model.security" . | nindent 2 }}
{{- end -}}

{{- define "tidegate.model.settings" -}}
resources: {{- toYaml .Values.resources | nindent 2 }}
{{- $environment := include "tidegate.model.environment" . }}
{{- with $environment }}
env:
  {{- . | trim | nindent 2 }}
{{- end }}
{{- $mounts := include "tidegate.model.mounts" . }}
{{- with $mounts }}
volumeMounts:
  {{- . | trim | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "tidegate.model.mounts" -}}
{{- if .Values.link.enabled }}
- {name: tidegate, mountPath: /var/run/tidegate, readOnly: true}
{{- end }}
{{- if include "tidegate.model.hasVolume" . }}
- name: model
  mountPath: /mnt/models
  readOnly: true
  {{- with .Values.model.pvc.subPath }}
  subPath: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* KServe mounts a claim by itself, below Knative and without its feature flag. */}}
{{- define "tidegate.model.hasVolume" -}}
{{- if and (eq .Values.model.source "pvc") (eq .Values.platform "knative") }}yes{{ end -}}
{{- end -}}

{{- define "tidegate.model.fetched" -}}
{{- if eq .Values.model.source "storageUri" -}}
{{ .Values.model.storageUri }}
{{- else if eq .Values.model.source "pvc" -}}
pvc://{{ .Values.model.pvc.claimName }}{{ with .Values.model.pvc.subPath }}/{{ . }}{{ end }}
{{- end -}}
{{- end -}}

{{- define "tidegate.model.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.serviceAccountName }}
serviceAccountName: {{ . }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- $volumes := include "tidegate.model.volumes" . }}
{{- with $volumes }}
volumes:
  {{- . | trim | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "tidegate.model.volumes" -}}
{{- if .Values.link.enabled }}
- name: tidegate
  projected:
    sources:
      - serviceAccountToken: {audience: tidegate, expirationSeconds: 600, path: token}
      - configMap:
          name: tidegate-ca
          optional: true
          items: [{key: ca.crt, path: ca.crt}]
      # The operator keeps it current, so a pod starts right while the operator is away.
      - configMap:
          name: tidegate-hot-{{ include "tidegate.model.service" . }}
          optional: true
          items: [{key: hot-settings.json, path: hot-settings.json}]
{{- end }}
{{- if include "tidegate.model.hasVolume" . }}
- name: model
  persistentVolumeClaim: {claimName: {{ .Values.model.pvc.claimName }}, readOnly: true}
{{- end }}
{{- end -}}
