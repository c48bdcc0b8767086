metadata description = 'Alert rules on the app\'s log lines. They need nothing but logging: with TELEMETRY_EXPORT off they watch as well.'

param location string
param tags object

@description('The Log Analytics workspace of this environment\'s Application Insights and of the vault\'s audit log.')
param workspaceId string

@description('Who is written to. Empty: the alerts are seen in the portal only.')
param emails array

var rules = [
  {
    name: 'app-silent'
    title: 'No sign of life from the app'
    severity: 0
    window: 'PT15M'
    query: loadTextContent('queries/app-silent.kql')
  }
  {
    name: 'crl-late'
    title: 'A CRL is late'
    severity: 0
    window: 'PT15M'
    query: loadTextContent('queries/crl-late.kql')
  }
  {
    name: 'signing-fails'
    title: 'Certificates and CRLs cannot be signed'
    severity: 1
    window: 'PT15M'
    query: loadTextContent('queries/signing-fails.kql')
  }
  {
    name: 'directory-altered'
    title: 'The directory is not what the app has written'
    severity: 1
    window: 'PT15M'
    query: loadTextContent('queries/directory-altered.kql')
  }
  {
    name: 'server-errors'
    title: 'Requests fail'
    severity: 1
    window: 'PT15M'
    query: loadTextContent('queries/server-errors.kql')
  }
  {
    name: 'sync-late'
    title: 'The tenant sync has not completed for an hour'
    severity: 2
    window: 'PT1H'
    query: loadTextContent('queries/sync-late.kql')
  }
  {
    name: 'sync-needs-somebody'
    title: 'The tenant sync needs an operator'
    severity: 2
    window: 'PT15M'
    query: loadTextContent('queries/sync-needs-somebody.kql')
  }
  {
    name: 'key-touched'
    title: 'The CA key or its vault was changed'
    severity: 2
    window: 'PT15M'
    query: loadTextContent('queries/key-touched.kql')
  }
  {
    name: 'log-not-signed'
    title: 'The log of all changes has not been signed for a day'
    severity: 2
    window: 'P2D'
    query: loadTextContent('queries/log-not-signed.kql')
  }
  {
    name: 'throttled'
    title: 'Graph, Key Vault or the app throttles'
    severity: 3
    window: 'PT15M'
    query: loadTextContent('queries/throttled.kql')
  }
  {
    name: 'refused-callers'
    title: 'Many callers are refused'
    severity: 3
    window: 'PT15M'
    query: loadTextContent('queries/refused-callers.kql')
  }
  {
    name: 'ca-certificate-ends'
    title: 'The CA certificate ends within half a year'
    severity: 3
    window: 'PT1H'
    query: loadTextContent('queries/ca-certificate-ends.kql')
  }
]

resource operators 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(emails)) {
  name: 'pki-operators'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'pki'
    enabled: true
    emailReceivers: [for email in emails: { name: email, emailAddress: email, useCommonAlertSchema: true }]
  }
}

resource alerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for rule in rules: {
  name: 'pki-${rule.name}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: rule.title
    description: 'What it looks for and what to do: docs/observability.md.'
    severity: rule.severity
    enabled: true
    evaluationFrequency: rule.window == 'P2D' ? 'PT1H' : 'PT5M'
    windowSize: rule.window
    scopes: [workspaceId]
    // The tables come into being with the first line of log.
    skipQueryValidation: true
    autoMitigate: true
    criteria: {
      allOf: [
        {
          query: rule.query
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
        }
      ]
    }
    actions: { actionGroups: empty(emails) ? [] : [operators.id] }
  }
}]
