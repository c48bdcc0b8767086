"""Named like an installed package: the app root is last on sys.path, so nobody ever imports this one."""
