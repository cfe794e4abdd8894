{{/* What every generator's pod has; `role` is run, master or worker. */}}
{{- define "tidegate.load.job" -}}
backoffLimit: 0 # a campaign that failed says why; it is not repeated unseen
# The run, its last answers, and ten minutes for the image and for the others to come up.
activeDeadlineSeconds: {{ add (ceil .Values.durationSeconds | int) (ceil (.Values.timeoutSeconds | default 30) | int) 600 }}
{{- if not (kindIs "invalid" .Values.ttlSecondsAfterFinished) }}
ttlSecondsAfterFinished: {{ int .Values.ttlSecondsAfterFinished }}
{{- end }}
{{- end -}}

{{- define "tidegate.load.pod" -}}
restartPolicy: Never
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: results
    {{- if .Values.results.claimName }}
    persistentVolumeClaim: {claimName: {{ .Values.results.claimName }}}
    {{- else }}
    emptyDir: {}
    {{- end }}
  - {name: tmp, emptyDir: {}}
{{- end -}}

{{- define "tidegate.load.container" -}}
image: {{ include "tidegate.load.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
resources: {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: results, mountPath: /results}
  - {name: tmp, mountPath: /tmp}
{{- end -}}
