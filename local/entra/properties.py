"""Which properties Graph's user and group have, which it returns unasked, and which can be filtered on.

Sources: https://learn.microsoft.com/graph/api/resources/user and .../resources/group, sections Properties.
"""

from dataclasses import dataclass
from typing import Any

USER_DEFAULTS = (
    "businessPhones",
    "displayName",
    "givenName",
    "jobTitle",
    "mail",
    "mobilePhone",
    "officeLocation",
    "preferredLanguage",
    "surname",
    "userPrincipalName",
    "id",
)  # https://learn.microsoft.com/graph/api/user-get#optional-query-parameters

USER_LISTS = frozenset(
    {
        "assignedLicenses",
        "assignedPlans",
        "businessPhones",
        "identities",
        "imAddresses",
        "licenseAssignmentStates",
        "onPremisesProvisioningErrors",
        "otherMails",
        "provisionedPlans",
        "proxyAddresses",
        "serviceProvisioningErrors",
    }
)

USER_PROPERTIES = (
    frozenset(USER_DEFAULTS)
    | USER_LISTS
    | frozenset(
        {
            "accountEnabled",
            "ageGroup",
            "city",
            "companyName",
            "consentProvidedForMinor",
            "country",
            "createdDateTime",
            "creationType",
            "deletedDateTime",
            "department",
            "employeeHireDate",
            "employeeId",
            "employeeOrgData",
            "employeeType",
            "externalUserState",
            "externalUserStateChangeDateTime",
            "faxNumber",
            "isResourceAccount",
            "lastPasswordChangeDateTime",
            "legalAgeGroupClassification",
            "mailNickname",
            "onPremisesDistinguishedName",
            "onPremisesDomainName",
            "onPremisesExtensionAttributes",
            "onPremisesImmutableId",
            "onPremisesLastSyncDateTime",
            "onPremisesSamAccountName",
            "onPremisesSecurityIdentifier",
            "onPremisesSyncEnabled",
            "onPremisesUserPrincipalName",
            "passwordPolicies",
            "passwordProfile",
            "postalCode",
            "preferredDataLocation",
            "securityIdentifier",
            "showInAddressList",
            "signInSessionsValidFromDateTime",
            "state",
            "streetAddress",
            "usageLocation",
            "userType",
        }
    )
)

USER_SINGLE_ONLY = frozenset(
    {
        "aboutMe",
        "birthday",
        "hireDate",
        "interests",
        "mailboxSettings",
        "mySite",
        "pastProjects",
        "preferredName",
        "responsibilities",
        "schools",
        "skills",
    }
)  # "only supported when retrieving a single user": 501 in a list, https://learn.microsoft.com/graph/api/user-list

USER_FILTERABLE = frozenset(
    {
        "accountEnabled",
        "businessPhones",
        "city",
        "companyName",
        "country",
        "createdDateTime",
        "department",
        "displayName",
        "employeeId",
        "externalUserState",
        "givenName",
        "id",
        "jobTitle",
        "mail",
        "mailNickname",
        "onPremisesImmutableId",
        "onPremisesSyncEnabled",
        "state",
        "surname",
        "usageLocation",
        "userPrincipalName",
        "userType",
    }
)

GROUP_DEFAULTS = (
    "id",
    "deletedDateTime",
    "classification",
    "createdDateTime",
    "creationOptions",
    "description",
    "displayName",
    "expirationDateTime",
    "groupTypes",
    "isAssignableToRole",
    "mail",
    "mailEnabled",
    "mailNickname",
    "membershipRule",
    "membershipRuleProcessingState",
    "onPremisesDomainName",
    "onPremisesLastSyncDateTime",
    "onPremisesNetBiosName",
    "onPremisesSamAccountName",
    "onPremisesSecurityIdentifier",
    "onPremisesSyncEnabled",
    "preferredDataLocation",
    "preferredLanguage",
    "proxyAddresses",
    "renewedDateTime",
    "resourceBehaviorOptions",
    "resourceProvisioningOptions",
    "securityEnabled",
    "securityIdentifier",
    "theme",
    "uniqueName",
    "visibility",
    "onPremisesProvisioningErrors",
    "serviceProvisioningErrors",
)

GROUP_LISTS = frozenset(
    {
        "creationOptions",
        "groupTypes",
        "onPremisesProvisioningErrors",
        "proxyAddresses",
        "resourceBehaviorOptions",
        "resourceProvisioningOptions",
        "serviceProvisioningErrors",
    }
)

GROUP_FILTERABLE = frozenset(
    {"createdDateTime", "displayName", "id", "mail", "mailEnabled", "mailNickname", "securityEnabled"}
)

ROLE_DEFAULTS = ("id", "deletedDateTime", "description", "displayName", "roleTemplateId")
UNIT_DEFAULTS = ("id", "deletedDateTime", "displayName", "description", "visibility")


@dataclass(frozen=True)
class EntityType:
    """What Graph knows of one type of directory object."""

    name: str
    collection: str
    defaults: tuple[str, ...]
    properties: frozenset[str]
    lists: frozenset[str] = frozenset()
    filterable: frozenset[str] = frozenset()
    single_only: frozenset[str] = frozenset()

    @property
    def odata_type(self) -> str:
        return f"#microsoft.graph.{self.name}"

    def absent(self, name: str) -> Any:
        """How Graph shows a property that was never set."""
        return [] if name in self.lists else None


USER = EntityType("user", "users", USER_DEFAULTS, USER_PROPERTIES, USER_LISTS, USER_FILTERABLE, USER_SINGLE_ONLY)
GROUP = EntityType("group", "groups", GROUP_DEFAULTS, frozenset(GROUP_DEFAULTS), GROUP_LISTS, GROUP_FILTERABLE)
ROLE = EntityType("directoryRole", "directoryRoles", ROLE_DEFAULTS, frozenset(ROLE_DEFAULTS))
UNIT = EntityType("administrativeUnit", "administrativeUnits", UNIT_DEFAULTS, frozenset(UNIT_DEFAULTS))
TYPES = {entity.name: entity for entity in (USER, GROUP, ROLE, UNIT)}
