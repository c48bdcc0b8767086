using 'main.bicep'

// The values come from the environment: azd's own (`azd env set NAME value`), or that of `az deployment group create`.
param environmentName = readEnvironmentVariable('AZURE_ENV_NAME')
param location = readEnvironmentVariable('AZURE_LOCATION')
param entraClientId = readEnvironmentVariable('ENTRA_CLIENT_ID')
param publicUrl = readEnvironmentVariable('PKI_PUBLIC_URL', '')
param operatorsGroupId = readEnvironmentVariable('PKI_OPERATORS_GROUP_ID', '')
param alertEmails = empty(readEnvironmentVariable('PKI_ALERT_EMAILS', '')) ? [] : split(readEnvironmentVariable('PKI_ALERT_EMAILS'), ',')
param privateNetworking = bool(readEnvironmentVariable('PKI_PRIVATE_NETWORKING', 'false'))

// Any setting of docs/settings.md; one that is empty counts as not set.
param settings = {
  PKI_DENIED_GROUP_IDS: readEnvironmentVariable('PKI_DENIED_GROUP_IDS', '')
  PKI_MAIL_DOMAINS: readEnvironmentVariable('PKI_MAIL_DOMAINS', '')
}
