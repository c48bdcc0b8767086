"""Backups: the whole directory of a tenant, log included, in one file that proves by its hash chain what it holds."""

from shared.directory.backup.backing_up import back_up
from shared.directory.backup.backup_file import BackupSummary
from shared.directory.backup.restoration import Restoration, Restored
from shared.directory.backup.tally import Tally
from shared.directory.backup.verification import verify_backup

__all__ = ["BackupSummary", "Restoration", "Restored", "Tally", "back_up", "verify_backup"]
