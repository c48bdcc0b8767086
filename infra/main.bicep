metadata description = 'The certificate authority on Azure Functions Flex Consumption: storage, vault, app, monitoring, and nothing with a shared key.'

targetScope = 'resourceGroup'

// --- What must be said ---

@minLength(1)
@maxLength(24)
@description('Name of this environment, such as prod: letters, digits and dashes.')
param environmentName string

@description('Client id of the app registration that callers get tokens for; `infra/entra/setup.py register` makes it.')
@minLength(36)
@maxLength(36)
param entraClientId string

// --- What has a default ---

@description('Region of all resources.')
param location string = resourceGroup().location

@description('The Entra tenant whose users get certificates.')
param entraTenantId string = tenant().tenantId

@description('The http URL that certificates carry for CRLs, CA certificates and OCSP. Empty: that of the function app. It stays in certificates for as long as they live, so a name of your own is better.')
param publicUrl string = ''

@description('Further app settings of docs/settings.md. Whatever is not said here or in function-app.bicep is removed at the next deployment.')
@secure()
param settings object = {}

@description('Table and blob container of the directory.')
@minLength(3)
@maxLength(63)
param directoryName string = 'directory'

@description('Name of the CA key in the vault.')
param caKeyName string = 'user-ca'

@description('Type of the CA key that is made if there is none; the same names as `manage.py ca init --key-type`.')
@allowed(['RSA-2048', 'RSA-3072', 'RSA-4096', 'P-256', 'P-384', 'P-521'])
param caKeyType string = 'RSA-3072'

@description('Whether a hardware security module holds the CA key (a vault of the premium tier).')
param hardwareKey bool = true

@description('Object id of an Entra group whose members run manage.py against this environment. Empty: nobody.')
param operatorsGroupId string = ''

@description('Redundancy of the storage account. Standard_ZRS survives the loss of a zone, where the region has zones.')
@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GZRS'])
param storageSku string = 'Standard_ZRS'

@description('Whether storage and vault are reached by private endpoints only.')
param privateNetworking bool = false

@description('Address space of the virtual network, at least a /24; only with privateNetworking.')
param addressPrefix string = '10.90.0.0/24'

@description('Whether storage and vault are locked against deletion.')
param deletionLock bool = true

@description('Instances that are always warm for HTTP, for CRL and OCSP clients that do not wait for a cold start.')
@minValue(0)
@maxValue(20)
param alwaysReadyInstances int = 0

@description('Most instances for HTTP. One tenant writes about 2,000 rows a second however many there are.')
@minValue(1)
@maxValue(1000)
param maximumInstances int = 40

@description('Who is written to when something is wrong. Empty: alerts are seen in the portal only.')
param alertEmails array = []

@description('Days that logs are kept.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 90

var token = uniqueString(resourceGroup().id, environmentName)
var tags = { 'azd-env-name': environmentName }
var functionAppName = 'pki-${environmentName}-${token}'
var entraClouds = { AzureCloud: 'global', AzureUSGovernment: 'usgov', AzureChinaCloud: 'china' }

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  params: {
    workspaceName: 'log-${environmentName}-${token}'
    insightsName: 'appi-${environmentName}-${token}'
    location: location
    tags: tags
    retentionDays: logRetentionDays
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  params: {
    name: 'pki${token}'
    location: location
    tags: tags
    skuName: storageSku
    directoryName: directoryName
    publicAccess: !privateNetworking
    deletionLock: deletionLock
  }
}

module keyVault 'modules/key-vault.bicep' = {
  name: 'key-vault'
  params: {
    name: 'kv-${token}'
    location: location
    tags: tags
    keyName: caKeyName
    keyType: caKeyType
    hardwareKey: hardwareKey
    publicAccess: !privateNetworking
    deletionLock: deletionLock
    workspaceId: monitoring.outputs.workspaceId
  }
}

module network 'modules/network.bicep' = if (privateNetworking) {
  name: 'network'
  params: {
    name: 'vnet-${environmentName}-${token}'
    location: location
    tags: tags
    addressPrefix: addressPrefix
    storageAccountId: storage.outputs.id
    keyVaultId: keyVault.outputs.id
  }
}

module functionApp 'modules/function-app.bicep' = {
  name: 'function-app'
  params: {
    name: functionAppName
    planName: 'plan-${environmentName}-${token}'
    location: location
    tags: tags
    storageAccountName: storage.outputs.name
    packageContainerName: storage.outputs.packageContainerName
    insightsConnectionString: monitoring.outputs.insightsConnectionString
    subnetId: privateNetworking ? network!.outputs.appSubnetId : ''
    alwaysReadyInstances: alwaysReadyInstances
    maximumInstances: maximumInstances
    directoryName: directoryName
    entraTenantId: entraTenantId
    entraClientId: entraClientId
    entraCloud: entraClouds[environment().name]
    keyVaultUrl: keyVault.outputs.url
    caKeyName: caKeyName
    publicUrl: publicUrl
    settings: settings
  }
}

module access 'modules/access.bicep' = {
  name: 'access'
  params: {
    storageAccountName: storage.outputs.name
    keyVaultName: keyVault.outputs.name
    caKeyName: caKeyName
    insightsName: monitoring.outputs.insightsName
    appPrincipalId: functionApp.outputs.principalId
    operatorsGroupId: operatorsGroupId
  }
}

module alerts 'monitoring/alerts.bicep' = {
  name: 'alerts'
  params: {
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    emails: alertEmails
  }
}

module workbook 'monitoring/workbook.bicep' = {
  name: 'workbook'
  params: {
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
  }
}

// azd keeps the outputs in its environment. Those named like settings are what `manage.py` needs on an operator's
// machine; docs/deploy.md says how.
output AZURE_FUNCTION_NAME string = functionApp.outputs.name
output API_URL string = functionApp.outputs.url
output API_PRINCIPAL_ID string = functionApp.outputs.principalId
output AZURE_STORAGE_ACCOUNT string = storage.outputs.name
output LOG_WORKSPACE_ID string = monitoring.outputs.workspaceCustomerId
output AZURE_KEY_VAULT string = keyVault.outputs.name
output DIRECTORY_TABLES_URL string = storage.outputs.tablesUrl
output DIRECTORY_BLOBS_URL string = storage.outputs.blobsUrl
output DIRECTORY_TABLE string = directoryName
output ENTRA_TENANT_ID string = entraTenantId
output ENTRA_CLIENT_ID string = entraClientId
output ENTRA_CLOUD string = entraClouds[environment().name]
output ENTRA_MANAGED_IDENTITY string = 'true'
output CA_SIGNING_BACKEND string = 'key_vault'
output CA_KEY_VAULT_URL string = keyVault.outputs.url
output CA_KEY_VAULT_KEY string = caKeyName
output PKI_PUBLIC_URL string = functionApp.outputs.publicUrl
