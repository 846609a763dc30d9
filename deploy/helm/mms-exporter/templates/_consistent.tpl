{{- /* Fails if values contradict each other, which the schema cannot check. */}}
{{- define "mms-exporter.consistent" -}}
{{- include "mms-exporter.consistentPods" . -}}
{{- include "mms-exporter.consistentMonitor" . -}}
{{- include "mms-exporter.consistentCertificate" . -}}
{{- include "mms-exporter.consistentSecrets" . -}}
{{- end }}

{{- define "mms-exporter.consistentPods" -}}
{{- $version := .Capabilities.KubeVersion.Version -}}
{{- if and .Values.rrsa.roleName .Values.rrsa.roleArn -}}
{{- fail "rrsa: set either roleName (with the webhook) or roleArn (without it), not both" -}}
{{- end -}}
{{- if gt (int .Values.shards) 1 -}}
{{- if gt (int .Values.replicas) 1 -}}
{{- fail "replicas: each shard is one pod; set either shards or replicas, not both" -}}
{{- end -}}
{{- if semverCompare "<1.28.0-0" $version -}}
{{- fail (printf "shards: expected Kubernetes 1.28 or later, which sets the index of a pod, not %s; without a cluster, set --kube-version" $version) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* The Prometheus Operator rejects a monitor whose timeout is longer than its interval. */}}
{{- define "mms-exporter.consistentMonitor" -}}
{{- with .Values.monitor -}}
{{- if gt (include "mms-exporter.milliseconds" .scrapeTimeout | int64) (include "mms-exporter.milliseconds" .interval | int64) -}}
{{- fail (printf "monitor.scrapeTimeout: %s is longer than monitor.interval, %s" .scrapeTimeout .interval) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* A duration of Prometheus, such as 1m30s, in milliseconds. */}}
{{- define "mms-exporter.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 "w" 604800000 "y" 31536000000 -}}
{{- $total := 0 -}}
{{- range regexFindAll "[0-9]+(ms|[smhdwy])" . -1 -}}
{{- $total = add $total (mul (regexFind "[0-9]+" . | int64) (get $units (regexFind "[a-z]+" .))) -}}
{{- end -}}
{{- $total -}}
{{- end }}

{{- /* The files in `tlsSecretName` must match the web configuration. */}}
{{- define "mms-exporter.consistentCertificate" -}}
{{- $tls := .Values.web.config.tls_server_config | default dict -}}
{{- if .Values.web.tlsSecretName -}}
{{- if not (or $tls.cert_file $tls.cert) -}}
{{- fail "web.tlsSecretName: requires web.config.tls_server_config with cert_file and key_file, /etc/mms-exporter/tls/tls.crt and tls.key" -}}
{{- end -}}
{{- else -}}
{{- range $key := list "cert_file" "key_file" "client_ca_file" -}}
{{- if hasPrefix "/etc/mms-exporter/tls/" (index $tls $key | default "") -}}
{{- fail (printf "web.config.tls_server_config.%s: the file is in the Secret web.tlsSecretName, which is not set" $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "mms-exporter.consistentSecrets" -}}
{{- if not (or .Values.config .Values.configSecretName) -}}
{{- fail "config: set either config or configSecretName; both are empty" -}}
{{- end -}}
{{- $config := ternary dict .Values.config (not (empty .Values.configSecretName)) -}}
{{- range $key, $value := dict "config" $config "web.config" .Values.web.config -}}
{{- if and (not $.Values.secretName) (contains "\"/etc/mms-exporter/secrets/" (toJson $value)) -}}
{{- fail (printf "%s: a file in /etc/mms-exporter/secrets requires secretName, which is not set" $key) -}}
{{- end -}}
{{- end -}}
{{- end }}
