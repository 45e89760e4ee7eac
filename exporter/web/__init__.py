"""The HTTP side: what is known, as metrics, pages and health."""
