metadata description = 'A vault of its own for the CA key: role-based, purge-protected, and with a log of every signature.'

param name string
param location string
param tags object
param keyName string
param keyType string
param hardwareKey bool
param publicAccess bool
param deletionLock bool
param workspaceId string

var isRsa = startsWith(keyType, 'RSA-')
var family = isRsa ? 'RSA' : 'EC'
var shape = isRsa ? { keySize: int(substring(keyType, 4)) } : { curveName: keyType }

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: {
      family: 'A'
      name: hardwareKey ? 'premium' : 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    enablePurgeProtection: true
    publicNetworkAccess: publicAccess ? 'Enabled' : 'Disabled'
    networkAcls: {
      bypass: 'None'
      defaultAction: publicAccess ? 'Allow' : 'Deny'
    }
  }
}

// A key that exists is left as it is: deploying again makes no new version. No expiry date and no rotation policy; a
// rollover is `manage.py ca rollover`.
resource key 'Microsoft.KeyVault/vaults/keys@2023-07-01' = {
  parent: vault
  name: keyName
  properties: union(shape, {
    kty: hardwareKey ? '${family}-HSM' : family
    keyOps: ['sign', 'verify']
    attributes: { enabled: true, exportable: false }
  })
}

resource log 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: vault
  name: 'audit'
  properties: {
    workspaceId: workspaceId
    logAnalyticsDestinationType: 'Dedicated'
    logs: [
      { categoryGroup: 'audit', enabled: true }
    ]
  }
}

resource lock 'Microsoft.Authorization/locks@2020-05-01' = if (deletionLock) {
  scope: vault
  name: 'ca-key'
  properties: {
    level: 'CanNotDelete'
    notes: 'Without this key no CRL can be signed.'
  }
}

output id string = vault.id
output name string = vault.name
output url string = vault.properties.vaultUri
