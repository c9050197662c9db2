{{/* Labels of every object; call with a dict of root and component. */}}
{{- define "d4c-gate.labels" -}}
{{ include "d4c-gate.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: d4c-gate
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* What never changes between versions, since a Deployment's selector cannot. */}}
{{- define "d4c-gate.selectorLabels" -}}
app.kubernetes.io/name: d4c-gate
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/*
Labels and annotations of a pod with what values add; call with a dict of labels (the chart's own, which win: the selector is
among them), component, and values (of podLabels and podAnnotations).
*/}}
{{- define "d4c-gate.podMetadata" -}}
labels: {{- merge (fromYaml .labels) .values.podLabels | toYaml | nindent 2 }}
annotations: {{- merge (dict) .values.podAnnotations (dict "kubectl.kubernetes.io/default-container" .component) | toYaml | nindent 2 }}
{{- end }}

{{- define "d4c-gate.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{/* The Secret from which every replica serves. */}}
{{- define "d4c-gate.secretName" -}}
{{- if eq .Values.certificates.mode "provided" -}}
{{ .Values.certificates.provided.secretName }}
{{- else -}}
d4c-gate-webhook-tls
{{- end -}}
{{- end }}

{{/* Namespaces that have opted in, but never kube-system, the release's own, or one that was excluded. */}}
{{- define "d4c-gate.namespaceSelector" -}}
matchExpressions:
  - key: d4c-gate.io/mode
    operator: In
    values: [observe, enforce]
  - key: kubernetes.io/metadata.name
    operator: NotIn
    values: {{ concat (list "kube-system" .Release.Namespace) .Values.webhook.excludedNamespaces | uniq | toJson }}
{{- end }}

{{/* CEL: the mode of a namespace, or the empty string. */}}
{{- define "d4c-gate.modeOf" -}}
(has({{ . }}.metadata.labels) && 'd4c-gate.io/mode' in {{ . }}.metadata.labels ? {{ . }}.metadata.labels['d4c-gate.io/mode'] : '')
{{- end }}

{{/* How the API server reaches the webhook; call with a dict of root and path. No caBundle in mode self: the controller owns it. */}}
{{- define "d4c-gate.clientConfig" -}}
service:
  name: d4c-gate-webhook
  namespace: {{ .root.Release.Namespace }}
  path: {{ .path }}
  port: 443
{{- if eq .root.Values.certificates.mode "provided" }}
caBundle: {{ .root.Values.certificates.provided.caBundle | b64enc }}
{{- end }}
{{- end }}
