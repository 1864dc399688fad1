{{/* The prefix of every name: the release's, unless it holds the chart's. */}}
{{- define "trailhouse.name" -}}
{{- if contains "trailhouse" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-trailhouse" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "trailhouse.selector" -}}
app.kubernetes.io/name: trailhouse
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "trailhouse.labels" -}}
{{ include "trailhouse.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "trailhouse.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "trailhouse.name" .) -}}
{{- end -}}

{{- define "trailhouse.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The settings; text that is no TOML ends the rendering here. */}}
{{- define "trailhouse.settings" -}}
{{- $settings := fromToml .Values.config -}}
{{- with $settings.Error -}}{{- fail (printf "values.config is no TOML: %s" .) -}}{{- end -}}
{{- $settings | toJson -}}
{{- end -}}

{{/* The port of api.listen. */}}
{{- define "trailhouse.port" -}}
{{- $settings := include "trailhouse.settings" . | fromJson -}}
{{- $listen := dig "api" "listen" "127.0.0.1:8080" $settings -}}
{{- if hasPrefix "127." $listen -}}
{{- fail (printf "values.config: api.listen is %s, which nobody outside the pod reaches; 0.0.0.0:8080" $listen) -}}
{{- end -}}
{{- regexFind "[0-9]+$" $listen -}}
{{- end -}}

{{- define "trailhouse.configmaps" -}}
checksum/config: {{ toJson (list .Values.config .Values.schemas) | sha256sum }}
{{- end -}}

{{/* A pod of (root, component, values, args, secretName, env, settings). */}}
{{- define "trailhouse.pod" -}}
{{- $root := .root -}}
{{- $serves := or (eq .component "ingest") (eq .component "api") -}}
{{- $tls := and $serves $root.Values.api.tlsSecretName -}}
{{- if ne .component "migrate" }}
serviceAccountName: {{ include "trailhouse.serviceAccount" $root }}
{{- end }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- if $serves }}
# Longer than pipeline.drain_ms (30 s) or the pause before a stop, and the 10 s that requests get.
terminationGracePeriodSeconds: 60
{{- else }}
restartPolicy: Never
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  # So that the secrets' group is the process's.
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- if $serves }}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "trailhouse.selector" $root | nindent 8 }}
        app.kubernetes.io/component: {{ $.component }}
  {{- end }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
containers:
  - name: {{ .component }}
    image: {{ include "trailhouse.image" $root }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    args:
      {{- toYaml .args | nindent 6 }}
    env:
      - name: TRAILHOUSE__CLICKHOUSE__USER
        value: {{ .user | quote }}
      {{- if eq .component "api" }}
      # The same for all, so that one understands another's cursors and keys that sign.
      - name: TRAILHOUSE__API__CURSOR_SECRET_FILE
        value: /run/secrets/trailhouse/cursor-secret
      - name: TRAILHOUSE__API__AUTH__SEALING_KEY_FILE
        value: /run/secrets/trailhouse/sealing-key
      {{- end }}
      {{- if $tls }}
      - name: TRAILHOUSE__API__TLS__CERTIFICATE_FILE
        value: /run/secrets/trailhouse-tls/tls.crt
      - name: TRAILHOUSE__API__TLS__KEY_FILE
        value: /run/secrets/trailhouse-tls/tls.key
      {{- end }}
      {{- with .values.env }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- if $serves }}
    ports:
      - name: http
        containerPort: {{ include "trailhouse.port" $root }}
    # Until ClickHouse and Kafka have answered once. One that is away for an hour is no reason to restart.
    startupProbe:
      httpGet:
        path: /startupz
        port: http
        {{- if $tls }}
        scheme: HTTPS
        {{- end }}
      periodSeconds: 5
      timeoutSeconds: 5
      failureThreshold: 720
    # Asks nobody: a ClickHouse that is away is no reason to restart.
    livenessProbe:
      httpGet:
        path: /livez
        port: http
        {{- if $tls }}
        scheme: HTTPS
        {{- end }}
      periodSeconds: 10
      timeoutSeconds: 5
      failureThreshold: 6
    readinessProbe:
      httpGet:
        path: /readyz
        port: http
        {{- if $tls }}
        scheme: HTTPS
        {{- end }}
      periodSeconds: 10
      timeoutSeconds: 5
    {{- end }}
    {{- if eq .component "api" }}
    # Until no endpoint leads here. Kubernetes waits by itself: the image has no `sleep`.
    lifecycle:
      preStop:
        sleep:
          seconds: 10
    {{- end }}
    resources:
      {{- toYaml .values.resources | nindent 6 }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities:
        drop: [ALL]
    volumeMounts:
      - name: settings
        mountPath: /etc/trailhouse
        readOnly: true
      - name: schemas
        mountPath: /etc/trailhouse-schemas
        readOnly: true
      - name: secrets
        mountPath: /run/secrets/trailhouse
        readOnly: true
      {{- if $tls }}
      - name: tls
        mountPath: /run/secrets/trailhouse-tls
        readOnly: true
      {{- end }}
volumes:
  - name: settings
    configMap:
      name: {{ .settings }}
  - name: schemas
    configMap:
      name: {{ .settings }}-schemas
      optional: true
  - name: secrets
    secret:
      secretName: {{ .secretName }}
      defaultMode: 0440
  {{- if $tls }}
  - name: tls
    secret:
      secretName: {{ $root.Values.api.tlsSecretName }}
      defaultMode: 0440
  {{- end }}
{{- end -}}
