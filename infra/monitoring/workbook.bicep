metadata description = 'A workbook on the app\'s log lines, and on its metrics where TELEMETRY_EXPORT=azure_monitor.'

param location string
param tags object

@description('The Log Analytics workspace of this environment\'s Application Insights.')
param workspaceId string

resource workbook 'Microsoft.Insights/workbooks@2022-04-01' = {
  name: guid(resourceGroup().id, 'entra-pki')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Certificate authority'
    category: 'workbook'
    sourceId: workspaceId
    serializedData: loadTextContent('workbook.json')
  }
}
