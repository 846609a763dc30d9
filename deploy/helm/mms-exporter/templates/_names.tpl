{{- define "mms-exporter.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* Leaves room for what is put behind it; without dots, which no Service may have in its name. */}}
{{- define "mms-exporter.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $release := .Release.Name | replace "." "-" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains $name $release -}}
{{ $release | trunc 52 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" $release $name | trunc 52 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- /* Whatever a user may choose is quoted wherever it stands, since YAML takes `123`, `1e3` and `on` for no text. */}}
{{- define "mms-exporter.selector" -}}
app.kubernetes.io/name: {{ include "mms-exporter.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "mms-exporter.testSelector" -}}
app.kubernetes.io/name: {{ printf "%s-test" (include "mms-exporter.name" . | trunc 58 | trimSuffix "-") | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "mms-exporter.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "mms-exporter.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- /* Of an object: of all of `root`, called by `name`, or the full name with `suffix` behind it. The chart's own labels
outweigh a user's, or its selectors would miss. */}}
{{- define "mms-exporter.metadata" -}}
name: {{ .name | default (printf "%s%s" (include "mms-exporter.fullname" .root) (.suffix | default "")) | quote }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- merge (include "mms-exporter.labels" .root | fromYaml) (.labels | default dict) | toYaml | nindent 2 }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "mms-exporter.serviceAccount" -}}
{{ default (ternary (include "mms-exporter.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{- /* A Service's name, and no other, has to begin with a letter. */}}
{{- define "mms-exporter.service" -}}
{{- $name := include "mms-exporter.fullname" . -}}
{{ ternary $name (printf "mms-%s" $name) (regexMatch "^[a-z]" $name) }}
{{- end }}

{{- define "mms-exporter.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}
