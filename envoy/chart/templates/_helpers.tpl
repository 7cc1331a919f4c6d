{{- define "gaugeway.metadata" -}}
name: {{ .Release.Name }}
namespace: {{ .Release.Namespace }}
labels:
  app.kubernetes.io/name: {{ .Chart.Name }}
  app.kubernetes.io/instance: {{ .Release.Name }}
  app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
  app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "gaugeway.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "gaugeway.sha256" -}}
{{ required "image.sha256 is required: the digest of the image, as in 'skopeo inspect --format {{.Digest}} docker://...', without 'sha256:'" .Values.image.sha256 }}
{{- end }}
