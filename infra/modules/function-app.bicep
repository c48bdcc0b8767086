metadata description = 'The function app on Flex Consumption, with an identity of its own, and its settings.'

param name string
param planName string
param location string
param tags object
param storageAccountName string
param packageContainerName string
param insightsConnectionString string
param subnetId string
param alwaysReadyInstances int
param maximumInstances int
param directoryName string
param entraTenantId string
param entraClientId string
param entraCloud string
param keyVaultUrl string
param caKeyName string
param publicUrl string
@secure()
param settings object

// Requests that an instance is given at a time, and the worker's threads for them: one each.
var concurrency = 16

resource account 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: storageAccountName
}

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2024-04-01' = {
  name: name
  location: location
  // azd finds by this tag where to put the service of azure.yaml.
  tags: union(tags, { 'azd-service-name': 'api' })
  kind: 'functionapp,linux'
  identity: { type: 'SystemAssigned' }
  properties: {
    serverFarmId: plan.id
    // CRLs, CA certificates and OCSP are fetched over http by design; the app refuses http on every other route.
    httpsOnly: false
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    functionAppConfig: {
      runtime: { name: 'python', version: '3.11' }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${account.properties.primaryEndpoints.blob}${packageContainerName}'
          authentication: { type: 'SystemAssignedIdentity' }
        }
      }
      scaleAndConcurrency: {
        instanceMemoryMB: 2048
        maximumInstanceCount: maximumInstances
        alwaysReady: alwaysReadyInstances == 0 ? [] : [
          { name: 'http', instanceCount: alwaysReadyInstances }
        ]
        triggers: {
          http: { perInstanceConcurrency: concurrency }
        }
      }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ftpsState: 'Disabled'
      http20Enabled: true
    }
  }
}

// Passwords for publishing are off: deployments are authorised by Entra.
resource ftpPublishing 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: app
  name: 'ftp'
  properties: { allow: false }
}

resource scmPublishing 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: app
  name: 'scm'
  properties: { allow: false }
}

var ownUrl = 'http://${app.properties.defaultHostName}'

resource appSettings 'Microsoft.Web/sites/config@2024-04-01' = {
  parent: app
  name: 'appsettings'
  properties: union(settings, {
    AzureWebJobsStorage__credential: 'managedidentity'
    AzureWebJobsStorage__blobServiceUri: account.properties.primaryEndpoints.blob
    AzureWebJobsStorage__tableServiceUri: account.properties.primaryEndpoints.table
    APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnectionString
    APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'Authorization=AAD'
    PYTHON_THREADPOOL_THREAD_COUNT: string(concurrency)
    DIRECTORY_TABLES_URL: account.properties.primaryEndpoints.table
    DIRECTORY_BLOBS_URL: account.properties.primaryEndpoints.blob
    DIRECTORY_TABLE: directoryName
    ENTRA_TENANT_ID: entraTenantId
    ENTRA_CLIENT_ID: entraClientId
    ENTRA_CLOUD: entraCloud
    ENTRA_MANAGED_IDENTITY: 'true'
    CA_SIGNING_BACKEND: 'key_vault'
    CA_KEY_VAULT_URL: keyVaultUrl
    CA_KEY_VAULT_KEY: caKeyName
    PKI_PUBLIC_URL: empty(publicUrl) ? ownUrl : publicUrl
  })
}

output name string = app.name
output principalId string = app.identity.principalId
output url string = 'https://${app.properties.defaultHostName}'
output publicUrl string = empty(publicUrl) ? ownUrl : publicUrl
