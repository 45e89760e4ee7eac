"""Tests of the vendors' adapters and of what they share."""
