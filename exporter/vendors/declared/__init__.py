"""Vendors as data: a declaration says what a vendor's API looks like, the engine here polls by it.

declaration   what may be declared (DESIGN.md section 10), as typed settings
expressions   JMESPath, compiled once, with a bound on the work
requests      requests with placeholders
auth          how requests prove whose they are
values        times, lengths, progress and costs as vendors write them
words         states and reasons by a vendor's words
rows          a row of an answer -> an observation
feed          lists and look-ups
vendor        a declaration -> a type of provider
"""
