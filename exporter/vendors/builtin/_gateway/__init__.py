"""Gateways of the new-api family (new-api, one-api, one-hub, DeerAPI): what their types have in common.

They keep a record of each task that they pass on to the model behind them. `words.py` has their words, `rows.py` reads
a record, `answers.py` what is around it, `feed.py` asks for it.
"""
