"""Keeping an index true to its source. Read `pipeline` first, then `plan`, then `jobs`."""
