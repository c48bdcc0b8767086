metadata description = 'Who may do what: the function app, and the operators who run manage.py.'

param storageAccountName string
param keyVaultName string
param caKeyName string
param insightsName string
param appPrincipalId string
param operatorsGroupId string

// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
var storageBlobDataOwner = 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
var storageBlobDataContributor = 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
var storageTableDataContributor = '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
var monitoringMetricsPublisher = '3913510d-42f4-4e42-8a64-420c390055eb'

var scope = resourceGroup().id

// The Functions host wants Owner on its account for the leases of its timers.
var appStorageRoles = [storageBlobDataOwner, storageTableDataContributor]
var operatorStorageRoles = empty(operatorsGroupId) ? [] : [storageBlobDataContributor, storageTableDataContributor]
var signers = concat(
  [{ id: appPrincipalId, type: 'ServicePrincipal' }],
  empty(operatorsGroupId) ? [] : [{ id: operatorsGroupId, type: 'Group' }]
)

resource account 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: storageAccountName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' existing = {
  name: keyVaultName

  resource key 'keys' existing = {
    name: caKeyName
  }
}

// The built-in Key Vault Crypto User may also decrypt, unwrap, and write keys' attributes; a signer needs none of that.
resource signer 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(scope, 'certificate-authority-signer')
  properties: {
    roleName: 'Certificate authority signer ${uniqueString(scope)}'
    description: 'Reads the public half of a key and signs with it.'
    type: 'CustomRole'
    permissions: [
      {
        actions: []
        notActions: []
        dataActions: [
          'Microsoft.KeyVault/vaults/keys/read'
          'Microsoft.KeyVault/vaults/keys/sign/action'
        ]
        notDataActions: []
      }
    ]
    assignableScopes: [scope]
  }
}

resource signing 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for principal in signers: {
    scope: vault::key
    name: guid(vault::key.id, principal.id, signer.id)
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', signer.name)
      principalId: principal.id
      principalType: principal.type
    }
  }
]

resource appStorage 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in appStorageRoles: {
    scope: account
    name: guid(account.id, appPrincipalId, role)
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
      principalId: appPrincipalId
      principalType: 'ServicePrincipal'
    }
  }
]

resource operatorStorage 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in operatorStorageRoles: {
    scope: account
    name: guid(account.id, operatorsGroupId, role)
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
      principalId: operatorsGroupId
      principalType: 'Group'
    }
  }
]

resource appTelemetry 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: insights
  name: guid(insights.id, appPrincipalId, monitoringMetricsPublisher)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', monitoringMetricsPublisher)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}
