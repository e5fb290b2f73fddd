{{- define "artifact-gc.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "artifact-gc.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "artifact-gc.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "artifact-gc.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "artifact-gc.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "artifact-gc.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "artifact-gc.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* A secret as a variable, or as the path of its file. The program reads a file again when it changes. */}}
{{- define "artifact-gc.secret" -}}
{{- if .asFile }}
- name: {{ .variable }}_FILE
  value: {{ printf "/run/secrets/artifact-gc/%s/%s" .volume .key }}
{{- else }}
- name: {{ .variable }}
  valueFrom:
    secretKeyRef: { name: {{ .secret }}, key: {{ .key }} }
{{- end }}
{{- end }}

{{/* Variables of database and store, which every workload needs. */}}
{{- define "artifact-gc.env" -}}
{{- $asFile := .Values.secretsAsFiles }}
{{- $database := required "database.secretName: name a secret that holds the URL of the catalogue" .Values.database.secretName }}
{{- include "artifact-gc.secret" (dict "asFile" $asFile "variable" "DATABASE_URL" "volume" "database" "secret" $database "key" .Values.database.urlKey) }}
- name: S3_BUCKET
  value: {{ required "s3.bucket: name the bucket" .Values.s3.bucket | quote }}
- name: S3_REGION
  value: {{ .Values.s3.region | quote }}
{{- with .Values.s3.endpoint }}
- name: S3_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- with .Values.s3.secretName }}
{{- include "artifact-gc.secret" (dict "asFile" $asFile "variable" "S3_ACCESS_KEY_ID" "volume" "s3" "secret" . "key" $.Values.s3.accessKeyIdKey) }}
{{- include "artifact-gc.secret" (dict "asFile" $asFile "variable" "S3_SECRET_ACCESS_KEY" "volume" "s3" "secret" . "key" $.Values.s3.secretAccessKeyKey) }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What is the same in the pod of every workload. */}}
{{- define "artifact-gc.pod" -}}
serviceAccountName: {{ include "artifact-gc.serviceAccountName" . }}
# The program talks to database and store, and not to Kubernetes.
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: tmp
    emptyDir: { sizeLimit: 64Mi }
{{- if .Values.secretsAsFiles }}
  - name: database
    secret: { secretName: {{ .Values.database.secretName }}, defaultMode: 0440 }
{{- with .Values.s3.secretName }}
  - name: s3
    secret: { secretName: {{ . }}, defaultMode: 0440 }
{{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "artifact-gc.container" -}}
image: {{ include "artifact-gc.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
volumeMounts:
  - { name: tmp, mountPath: /tmp }
{{- if .Values.secretsAsFiles }}
  - { name: database, mountPath: /run/secrets/artifact-gc/database, readOnly: true }
{{- if .Values.s3.secretName }}
  - { name: s3, mountPath: /run/secrets/artifact-gc/s3, readOnly: true }
{{- end }}
{{- end }}
{{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Ports to which the pods connect: those of the values, and that of the store. */}}
{{- define "artifact-gc.egressPorts" -}}
{{- $ports := list }}
{{- range .Values.networkPolicy.egressPorts }}
{{- $ports = append $ports (int .) }}
{{- end }}
{{- with .Values.s3.endpoint }}
{{- $named := regexFind ":[0-9]+$" (urlParse .).host | trimPrefix ":" }}
{{- $ports = append $ports (int (default (ternary "443" "80" (hasPrefix "https:" .)) $named)) }}
{{- end }}
{{- uniq $ports | toJson }}
{{- end }}

{{/* The port for operators, and the probes that use it. */}}
{{- define "artifact-gc.probes" -}}
startupProbe:
  httpGet: { path: /livez, port: ops }
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: { path: /livez, port: ops }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  # It answers within five seconds, by asking database and store.
  httpGet: { path: /readyz, port: ops }
  periodSeconds: 10
  timeoutSeconds: 7
  failureThreshold: 2
{{- end }}
