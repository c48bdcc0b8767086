metadata description = 'One account for the directory, the Functions host and the deployment package; identities only, no shared keys.'

param name string
param location string
param tags object
param skuName string
param directoryName string
param publicAccess bool
param deletionLock bool

var packageContainerName = 'app-package'
var retentionDays = 30
// As long as a CA certificate lives: what the CA signed of the log must outlast what it is to prove.
var anchorRetentionDays = 3650

resource account 'Microsoft.Storage/storageAccounts@2024-01-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: skuName }
  properties: {
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: publicAccess ? 'Enabled' : 'Disabled'
    networkAcls: {
      bypass: 'None'
      defaultAction: publicAccess ? 'Allow' : 'Deny'
    }
  }
}

resource tables 'Microsoft.Storage/storageAccounts/tableServices@2024-01-01' = {
  parent: account
  name: 'default'
}

resource directoryTable 'Microsoft.Storage/storageAccounts/tableServices/tables@2024-01-01' = {
  parent: tables
  name: directoryName
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2024-01-01' = {
  parent: account
  name: 'default'
  properties: {
    deleteRetentionPolicy: { enabled: true, days: retentionDays }
    containerDeleteRetentionPolicy: { enabled: true, days: retentionDays }
  }
}

resource directoryBlobs 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' = {
  parent: blobs
  name: directoryName
  properties: { publicAccess: 'None' }
}

resource anchorBlobs 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' = {
  parent: blobs
  name: '${directoryName}-anchors'
  properties: { publicAccess: 'None' }
}

// Blobs can be added, neither changed nor deleted. The policy is not locked: an owner can still lift it, which shows.
resource anchorImmutability 'Microsoft.Storage/storageAccounts/blobServices/containers/immutabilityPolicies@2024-01-01' = {
  parent: anchorBlobs
  name: 'default'
  properties: {
    immutabilityPeriodSinceCreationInDays: anchorRetentionDays
    allowProtectedAppendWrites: false
  }
}

resource package 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' = {
  parent: blobs
  name: packageContainerName
  properties: { publicAccess: 'None' }
}

resource lock 'Microsoft.Authorization/locks@2020-05-01' = if (deletionLock) {
  scope: account
  name: 'directory'
  properties: {
    level: 'CanNotDelete'
    notes: 'Holds the directory and the log of the certificate authority.'
  }
}

output id string = account.id
output name string = account.name
output packageContainerName string = package.name
output tablesUrl string = account.properties.primaryEndpoints.table
output blobsUrl string = account.properties.primaryEndpoints.blob
