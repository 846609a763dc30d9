{{- define "mms-exporter.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* At most 52 characters, because suffixes follow, and without dots, which Service names do not allow. */}}
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

{{- define "mms-exporter.namespace" -}}
{{ default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- /* User values are quoted everywhere, because YAML does not take `123`, `1e3` and `on` for strings. */}}
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

{{- /* The metadata of an object with `name`, or with the full name and `suffix`. Labels of the chart override those of
the user, because the selectors need them. */}}
{{- define "mms-exporter.metadata" -}}
name: {{ .name | default (printf "%s%s" (include "mms-exporter.fullname" .root) (.suffix | default "")) | quote }}
namespace: {{ include "mms-exporter.namespace" .root | quote }}
labels:
  {{- merge (include "mms-exporter.labels" .root | fromYaml) (.labels | default dict) .root.Values.commonLabels | toYaml | nindent 2 }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "mms-exporter.serviceAccount" -}}
{{ default (ternary (include "mms-exporter.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{- /* Only the name of a Service must start with a letter. */}}
{{- define "mms-exporter.service" -}}
{{- $name := include "mms-exporter.fullname" . -}}
{{ ternary $name (printf "mms-%s" $name) (regexMatch "^[a-z]" $name) }}
{{- end }}

{{- define "mms-exporter.image" -}}
{{- with .Values.image -}}
{{ with .registry }}{{ . }}/{{ end }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{- /* `[name]` and `[{name: name}]` are both in use. */}}
{{- define "mms-exporter.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ ternary (dict "name" .) . (kindIs "string" .) | dig "name" "" | quote }}
  {{- end }}
{{- end }}
{{- end }}
