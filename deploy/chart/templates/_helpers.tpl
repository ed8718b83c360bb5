{{/* A component's labels; what selects its pods is the first three. Call with (list . "activator"). */}}
{{- define "dormouse.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: dormouse
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "dormouse.labels" -}}
{{- include "dormouse.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
{{- end }}

{{/* Services are named after the release: refused before half of it is there. */}}
{{- define "dormouse.checkName" -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]{0,50}[a-z0-9])?$" .Release.Name) -}}
{{- fail (printf "the release cannot be named %q: Services are named after it, so it begins with a letter and has lower-case letters, digits and hyphens only, 52 at most" .Release.Name) -}}
{{- end -}}
{{- end }}

{{/* The name of what is not in a namespace: two releases must not share it. */}}
{{- define "dormouse.clusterName" -}}
{{- if eq .Release.Name .Release.Namespace -}}
{{ .Release.Name }}
{{- else -}}
{{ .Release.Namespace }}-{{ .Release.Name }}
{{- end -}}
{{- end }}

{{- define "dormouse.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* What the pods of both parts have in common. Call with (list . "activator" .Values.activator). */}}
{{- define "dormouse.podMetadata" -}}
{{- $part := index . 2 -}}
{{- with $part.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
labels:
  {{- include "dormouse.labels" . | nindent 2 }}
  {{- with $part.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "dormouse.podSpec" -}}
{{- $root := index . 0 -}}
{{- $part := index . 2 -}}
securityContext:
  runAsNonRoot: true
  {{- if $root.Values.securityContext.fixedIds }}
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
# One of a part on each node and in each zone, as far as there are any.
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "dormouse.selector" (list $root (index $ 1)) | nindent 8 }}
  {{- end }}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "dormouse.container" -}}
{{- $root := index . 0 -}}
{{- $part := index . 2 -}}
image: {{ include "dormouse.image" $root }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
livenessProbe:
  httpGet:
    path: /livez
    port: admin
readinessProbe:
  httpGet:
    path: /readyz
    port: admin
  periodSeconds: 2
resources:
  {{- toYaml $part.resources | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: ["ALL"]
{{- end }}

{{- define "dormouse.tokenMount" -}}
- name: token
  mountPath: /run/dormouse
  readOnly: true
{{- end }}

{{- define "dormouse.tlsMount" -}}
- name: tls
  mountPath: /run/dormouse-tls
  readOnly: true
{{- end }}

{{/* Of the certificate's Secret, what a part needs. Call with (list . "ca.crt"). */}}
{{- define "dormouse.tls" -}}
- name: tls
  secret:
    secretName: {{ (index . 0).Values.link.tlsSecret }}
    defaultMode: 0440
    items:
      {{- range rest . }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
{{- end }}

{{/* What activators show on the link. */}}
{{- define "dormouse.token" -}}
- name: token
  {{- if .Values.link.secret }}
  secret:
    secretName: {{ .Values.link.secret }}
    defaultMode: 0440
  {{- else }}
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken:
          audience: dormouse
          expirationSeconds: 3600
          path: token
  {{- end }}
{{- end }}

{{/* A drain of nodes takes one pod of a part at a time. Call with (list . "activator"). */}}
{{- define "dormouse.disruptionBudget" -}}
{{- $root := index . 0 -}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $root.Release.Name }}-{{ index . 1 }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "dormouse.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  # A pod that is not ready anyway must not keep a node from being drained.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "dormouse.selector" . | nindent 6 }}
{{- end }}
