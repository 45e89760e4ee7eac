"""Vendors by declaration: the engine in exporter/vendors/declared/, module by module, and then as a whole."""
