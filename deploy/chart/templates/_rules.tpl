{{/* Granted in the whole cluster, or in each of the namespaces looked at. */}}
{{- define "dormouse.rules" -}}
# Functions: which there are, and how many replicas each has.
- apiGroups: ["apps"]
  resources: ["deployments", "statefulsets"]
  verbs: ["list", "watch"]
# What others scale is left alone.
- apiGroups: ["autoscaling"]
  resources: ["horizontalpodautoscalers"]
  verbs: ["list", "watch"]
- apiGroups: ["keda.sh"]
  resources: ["scaledobjects"]
  verbs: ["list", "watch"]
# The one thing that is changed.
- apiGroups: ["apps"]
  resources: ["deployments/scale", "statefulsets/scale"]
  verbs: ["patch"]
# Services say which ports and names lead to a function; pods are where requests go.
- apiGroups: [""]
  resources: ["services", "pods"]
  verbs: ["list", "watch"]
# Services that name a target lead to the activators by EndpointSlices of Dormouse's own: found again
# by their label, made, kept up to date, and removed with what they are for.
- apiGroups: ["discovery.k8s.io"]
  resources: ["endpointslices"]
  verbs: ["list", "watch", "create", "patch", "delete"]
# What is wrong with an object is said there.
- apiGroups: ["events.k8s.io"]
  resources: ["events"]
  verbs: ["create"]
{{- end }}
