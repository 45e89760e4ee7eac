"""Vendors beyond the first release: what each of them counts at its fake, and its traps."""
