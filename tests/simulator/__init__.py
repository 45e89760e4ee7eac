"""Tests of the fake vendors, over real HTTP."""
