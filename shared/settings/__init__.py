"""Every app setting: typed, validated once, with one message that names everything that is wrong.

Reading settings touches no network and no disk. `docs/settings.md` is the same table for people.
"""

from shared.settings.model import CLOUDS, KEY_SIZES, MAX_NOTICE_DAYS, MAX_VALIDITY_DAYS, CredentialKind
from shared.settings.reader import InvalidSettings
from shared.settings.schedule import sync_schedule
from shared.settings.settings import Settings

__all__ = [
    "CLOUDS",
    "KEY_SIZES",
    "MAX_NOTICE_DAYS",
    "MAX_VALIDITY_DAYS",
    "CredentialKind",
    "InvalidSettings",
    "Settings",
    "sync_schedule",
]
