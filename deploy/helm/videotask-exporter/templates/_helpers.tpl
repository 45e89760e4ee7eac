{{- define "videotask.name" -}}
{{- if eq .Release.Name "videotask-exporter" -}}
videotask-exporter
{{- else -}}
{{ printf "%s-videotask-exporter" .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{/* The alerts look for the job videotask-exporter, which is the name in whatever release. */}}
{{- define "videotask.selector" -}}
app.kubernetes.io/name: videotask-exporter
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "videotask.labels" -}}
{{ include "videotask.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "videotask.secret" -}}
{{ .Values.secrets.existing | default (include "videotask.name" .) }}
{{- end -}}

{{- define "videotask.ledger" -}}
{{- if .Values.ledger.url -}}
{{- $password := ternary (dict "password_file" "/run/secrets/ledger/password") dict (ne .Values.ledger.passwordSecret.name "") -}}
{{- toYaml (merge (dict "url" .Values.ledger.url) $password .Values.ledger.settings) -}}
{{- else -}}
{{- toYaml (merge (dict "path" "/data/videotask.sqlite3") .Values.ledger.settings) -}}
{{- end -}}
{{- end -}}

{{- define "videotask.config" -}}
{{- if hasKey .Values.config "ledger" -}}
{{- fail "config.ledger: give it as `ledger`, beside `config`" -}}
{{- end -}}
ledger:
  {{- include "videotask.ledger" . | nindent 2 }}
{{- if .Values.providerFiles }}
provider_files: [/etc/videotask-exporter-providers/*.yaml]
{{- end }}
{{- with .Values.config }}
{{ toYaml . }}
{{- end }}
{{- end -}}
