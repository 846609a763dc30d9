{{- /* Who asks for a port that the network policy, as it is without `egress`, does not let out; nothing where all is well. */}}
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

{{- /* What the values have the exporter ask beside the metadata service: a URL, by who names it. */}}
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
