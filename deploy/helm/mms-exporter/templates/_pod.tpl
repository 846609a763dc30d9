{{- define "mms-exporter.pod" -}}
metadata:
  labels:
    {{- merge (include "mms-exporter.labels" . | fromYaml) .Values.podLabels .Values.commonLabels | toYaml | nindent 4 }}
  annotations:
    {{- /* A changed configuration restarts the pods. */}}
    {{- $config := toYaml .Values.config | sha256sum }}
    {{- $web := include "mms-exporter.webConfig" . | sha256sum }}
    {{- merge (dict "checksum/config" $config "checksum/web" $web) .Values.podAnnotations | toYaml | nindent 4 }}
spec:
  serviceAccountName: {{ include "mms-exporter.serviceAccount" . | quote }}
  automountServiceAccountToken: false
  {{- with include "mms-exporter.pullSecrets" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  containers:
    - {{ include "mms-exporter.container" . | nindent 6 | trim }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "mms-exporter.volumes" . | nindent 4 }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.dnsPolicy }}
  dnsPolicy: {{ . }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  {{- range $key := list "nodeSelector" "tolerations" "affinity" "hostAliases" "dnsConfig" }}
  {{- with index $.Values $key }}
  {{ $key }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    {{- /* Without a selector, a constraint would count no pod. */}}
    {{- $selector := dict "labelSelector" (dict "matchLabels" (include "mms-exporter.selector" $ | fromYaml)) }}
    - {{ merge (deepCopy .) (ternary dict $selector (hasKey . "labelSelector")) | toYaml | nindent 6 | trim }}
    {{- end }}
  {{- end }}
{{- end }}

{{- define "mms-exporter.container" -}}
name: mms-exporter
image: {{ include "mms-exporter.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args:
  - --config.file=/etc/mms-exporter/config/config.yaml
  {{- if .Values.web.config }}
  - --web.config.file=/etc/mms-exporter/web/web.yaml
  {{- end }}
  {{- with .Values.web.externalUrl }}
  - {{ printf "--web.external-url=%s" . | quote }}
  {{- end }}
  {{- with .Values.web.routePrefix }}
  - {{ printf "--web.route-prefix=%s" . | quote }}
  {{- end }}
  - --log.level={{ .Values.log.level }}
  - --log.format={{ .Values.log.format }}
  {{- if gt (int .Values.shards) 1 }}
  - --shard.index=$(SHARD_INDEX)
  - --shard.total={{ int .Values.shards }}
  {{- end }}
  {{- if or .Values.configSecretName .Values.secretName }}
  - --config.auto-reload
  {{- end }}
  {{- include "mms-exporter.ownFlags" . }}
  {{- range .Values.extraArgs }}
  - {{ . | quote }}
  {{- end }}
{{- with include "mms-exporter.env" . | trim }}
env:
  {{- . | nindent 2 }}
{{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - name: http
    containerPort: 10180
    protocol: TCP
startupProbe:
  {{- include "mms-exporter.knock" (dict "root" . "path" "/-/healthy") | nindent 2 }}
  # Before that, a normal start would log failed probes as events.
  initialDelaySeconds: 3
  periodSeconds: 2
  failureThreshold: {{ max 1 (div (sub (int .Values.startupSeconds) 3) 2) }}
livenessProbe:
  {{- include "mms-exporter.knock" (dict "root" . "path" "/-/healthy") | nindent 2 }}
  periodSeconds: 15
  timeoutSeconds: 5
readinessProbe:
  {{- include "mms-exporter.knock" (dict "root" . "path" "/-/ready") | nindent 2 }}
  periodSeconds: 5
  timeoutSeconds: 5
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - {name: config, mountPath: /etc/mms-exporter/config, readOnly: true}
  {{- if .Values.web.config }}
  - {name: web, mountPath: /etc/mms-exporter/web, readOnly: true}
  {{- end }}
  {{- if .Values.web.tlsSecretName }}
  - {name: tls, mountPath: /etc/mms-exporter/tls, readOnly: true}
  {{- end }}
  {{- if .Values.secretName }}
  - {name: secrets, mountPath: /etc/mms-exporter/secrets, readOnly: true}
  {{- end }}
  {{- if .Values.rrsa.roleArn }}
  - {name: rrsa, mountPath: /var/run/secrets/ack.alibabacloud.com/rrsa-tokens, readOnly: true}
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- /* Fails if a flag of the chart is set elsewhere, which would break probes, scrapes or shards. */}}
{{- define "mms-exporter.ownFlags" -}}
{{- $own := dict
  "config.file" "config or configSecretName"
  "config.check" "no value: a pod always serves"
  "config.auto-reload" "secretName or configSecretName, which enable it"
  "mms.region" "config"
  "shard.index" "shards"
  "shard.total" "shards"
  "web.listen-address" "service.port; the port of the pod is 10180"
  "web.systemd-socket" "no value: a pod has no such socket"
  "web.telemetry-path" "no value: the path is /metrics"
  "web.config.file" "web.config"
  "web.external-url" "web.externalUrl"
  "web.route-prefix" "web.routePrefix"
  "log.level" "log.level"
  "log.format" "log.format"
-}}
{{- range $flag, $way := $own -}}
{{- $variable := printf "MMS_EXPORTER_%s" ($flag | upper | replace "." "_" | replace "-" "_") -}}
{{- range $.Values.extraArgs -}}
{{- if eq $flag (. | trimPrefix "--" | splitList "=" | first) -}}
{{- fail (printf "extraArgs: --%s is set by the chart; use %s" $flag $way) -}}
{{- end -}}
{{- end -}}
{{- range $.Values.extraEnv -}}
{{- if eq $variable (.name | default "") -}}
{{- fail (printf "extraEnv: %s is set by the chart; use %s" $variable $way) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "mms-exporter.env" -}}
{{- if gt (int .Values.shards) 1 }}
- name: SHARD_INDEX
  valueFrom:
    fieldRef:
      fieldPath: metadata.labels['apps.kubernetes.io/pod-index']
{{- end }}
{{- with .Values.rrsa }}
{{- if .roleArn }}
- name: ALIBABA_CLOUD_ROLE_ARN
  value: {{ .roleArn | quote }}
- name: ALIBABA_CLOUD_OIDC_PROVIDER_ARN
  value: {{ required "rrsa.roleArn requires rrsa.oidcProviderArn" .oidcProviderArn | quote }}
- name: ALIBABA_CLOUD_OIDC_TOKEN_FILE
  value: /var/run/secrets/ack.alibabacloud.com/rrsa-tokens/token
{{- end }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "mms-exporter.volumes" -}}
- name: config
  secret:
    secretName: {{ .Values.configSecretName | default (printf "%s-config" (include "mms-exporter.fullname" .)) | quote }}
    defaultMode: 0440
{{- if .Values.web.config }}
- name: web
  secret:
    secretName: {{ printf "%s-web" (include "mms-exporter.fullname" .) | quote }}
    defaultMode: 0440
{{- end }}
{{- with .Values.web.tlsSecretName }}
- name: tls
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0440
{{- end }}
{{- with .Values.secretName }}
- name: secrets
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0440
{{- end }}
{{- if .Values.rrsa.roleArn }}
- name: rrsa
  projected:
    sources:
      - serviceAccountToken:
          audience: sts.aliyuncs.com
          expirationSeconds: 3600
          path: token
{{- end }}
{{- end }}
