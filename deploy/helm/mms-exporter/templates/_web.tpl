{{- /* Effects of TLS and basic auth on probes, scrapes and the test. */}}

{{- define "mms-exporter.scheme" -}}
{{- with .Values.web.config.tls_server_config | default dict -}}
{{ ternary "HTTPS" "HTTP" (and (not (empty (or .cert .cert_file))) (not (empty (or .key .key_file)))) }}
{{- else -}}
HTTP
{{- end -}}
{{- end }}

{{- /* The prefix of all paths, without a final slash, as the exporter derives it. */}}
{{- define "mms-exporter.routePrefix" -}}
{{- with .Values.web -}}
{{- .routePrefix | default (get (urlParse .externalUrl) "path") | trimSuffix "/" -}}
{{- end -}}
{{- end }}

{{- /* Whether the web configuration rejects a probe of `path`: client certificate, basic auth or rate limit. */}}
{{- define "mms-exporter.turnsAway" -}}
{{- $web := include "mms-exporter.webConfig" .root | fromYaml -}}
{{- $tls := $web.tls_server_config | default dict -}}
{{- if or (eq ($tls.client_auth_type | default "") "RequireAndVerifyClientCert") $tls.client_allowed_sans -}}true
{{- else if and $web.basic_auth_users (not (has .path $web.auth_excluded_paths)) -}}true
{{- else if regexMatch "[1-9]" (dig "interval" "0" ($web.rate_limit | default dict) | toString) -}}true
{{- end -}}
{{- end }}

{{- /* The file for --web.config.file. The paths of the probes need no password, unless it sets auth_excluded_paths. */}}
{{- define "mms-exporter.webConfig" -}}
{{- $prefix := include "mms-exporter.routePrefix" . -}}
{{- $probes := list (printf "%s/-/healthy" $prefix) (printf "%s/-/ready" $prefix) -}}
{{- $free := ternary (dict "auth_excluded_paths" $probes) dict (not (empty .Values.web.config.basic_auth_users)) -}}
{{ mergeOverwrite $free (deepCopy .Values.web.config) | toYaml }}
{{- end }}

{{- define "mms-exporter.knock" -}}
{{- $path := printf "%s%s" (include "mms-exporter.routePrefix" .root) .path -}}
{{- if include "mms-exporter.turnsAway" (dict "root" .root "path" $path) -}}
tcpSocket:
  port: http
{{- else -}}
httpGet:
  path: {{ $path }}
  port: http
  scheme: {{ include "mms-exporter.scheme" .root }}
{{- end -}}
{{- end }}
