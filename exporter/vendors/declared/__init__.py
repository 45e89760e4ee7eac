"""Vendors as data: a declaration says what a vendor's API looks like, the engine here polls by it."""
