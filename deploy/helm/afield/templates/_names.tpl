{{- define "afield.name" -}}
{{- printf "%s" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "afield.selector" -}}
app.kubernetes.io/name: afield
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "afield.labels" -}}
{{ include "afield.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}
