{{- /* The users of ports that the default network policy blocks; empty if there are none. */}}
{{- define "mms-exporter.keptIn" -}}
{{- $kept := list -}}
{{- range $who, $url := include "mms-exporter.asked" . | fromYaml -}}
{{- $port := regexFind ":[0-9]+(/|$)" $url | trimAll ":/" | default (ternary "80" "443" (hasPrefix "http:" $url)) -}}
{{- if ne $port "443" -}}
{{- $kept = append $kept $who -}}
{{- end -}}
{{- end -}}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.egress) -}}
{{ join ", " $kept }}
{{- end -}}
{{- end }}

{{- /* The URLs that the exporter calls, without the metadata service, by the setting that has them. */}}
{{- define "mms-exporter.asked" -}}
{{- $asked := dict -}}
{{- range ternary list (.Values.config | default dict).accounts (not (empty .Values.configSecretName)) -}}
{{- $_ := set $asked (printf "the proxy of account %s" .name) (.proxy | default dict).url -}}
{{- $_ := set $asked (printf "the endpoint of account %s" .name) .endpoint -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if has (upper .name) (list "HTTPS_PROXY" "HTTP_PROXY") -}}
{{- $_ := set $asked .name .value -}}
{{- end -}}
{{- end -}}
{{- range $who, $url := $asked -}}
{{- if $url }}
{{ $who | quote }}: {{ $url | quote }}
{{- end -}}
{{- end -}}
{{- end }}
