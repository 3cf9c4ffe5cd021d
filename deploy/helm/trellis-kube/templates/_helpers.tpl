{{- define "trellis-kube.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "trellis-kube.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "trellis-kube.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "trellis-kube.selector" -}}
app.kubernetes.io/name: {{ include "trellis-kube.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "trellis-kube.labels" -}}
{{ include "trellis-kube.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "trellis-kube.account" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "trellis-kube.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* Twelve digits, also where they were read as a number. */}}
{{- define "trellis-kube.awsAccountId" -}}
{{- $id := required "awsAccountId is required" .Values.awsAccountId -}}
{{- if kindIs "float64" $id -}}{{- printf "%012.0f" $id -}}{{- else -}}{{- toString $id -}}{{- end -}}
{{- end -}}
