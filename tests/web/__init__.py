"""The HTTP side beyond its pages: who may come in, and what a client may take."""
