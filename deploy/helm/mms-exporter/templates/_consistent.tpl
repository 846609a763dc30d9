{{- /* Nothing, or which values contradict each other: what the schema, which looks at one at a time, cannot see. */}}
{{- define "mms-exporter.consistent" -}}
{{- include "mms-exporter.consistentPods" . -}}
{{- include "mms-exporter.consistentCertificate" . -}}
{{- include "mms-exporter.consistentSecrets" . -}}
{{- end }}

{{- define "mms-exporter.consistentPods" -}}
{{- $version := .Capabilities.KubeVersion.Version -}}
{{- if and .Values.rrsa.roleName .Values.rrsa.roleArn -}}
{{- fail "rrsa: give roleName, for the webhook, or roleArn, without it; the token has one place only" -}}
{{- end -}}
{{- if gt (int .Values.shards) 1 -}}
{{- if gt (int .Values.replicas) 1 -}}
{{- fail "replicas: each of the shards is one pod; give shards or replicas, not both" -}}
{{- end -}}
{{- if semverCompare "<1.28.0-0" $version -}}
{{- fail (printf "shards: a pod knows its index from Kubernetes 1.28 on, and this is %s; without a cluster, --kube-version says which" $version) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* The files of `tlsSecretName` and those that the web configuration names there. */}}
{{- define "mms-exporter.consistentCertificate" -}}
{{- $tls := .Values.web.config.tls_server_config | default dict -}}
{{- if .Values.web.tlsSecretName -}}
{{- if not (or $tls.cert_file $tls.cert) -}}
{{- fail "web.tlsSecretName: nothing is served with it until web.config.tls_server_config names cert_file and key_file, /etc/mms-exporter/tls/tls.crt and tls.key" -}}
{{- end -}}
{{- else -}}
{{- range $key := list "cert_file" "key_file" "client_ca_file" -}}
{{- if hasPrefix "/etc/mms-exporter/tls/" (index $tls $key | default "") -}}
{{- fail (printf "web.config.tls_server_config.%s: lies in the Secret that web.tlsSecretName names, which is empty" $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "mms-exporter.consistentSecrets" -}}
{{- if not (or .Values.config .Values.configSecretName) -}}
{{- fail "config: is empty, and configSecretName too" -}}
{{- end -}}
{{- $config := ternary dict .Values.config (not (empty .Values.configSecretName)) -}}
{{- range $key, $value := dict "config" $config "web.config" .Values.web.config -}}
{{- if and (not $.Values.secretName) (contains "\"/etc/mms-exporter/secrets/" (toJson $value)) -}}
{{- fail (printf "%s: names a file in /etc/mms-exporter/secrets, which is the Secret that secretName names, and that is empty" $key) -}}
{{- end -}}
{{- end -}}
{{- end }}
