"""Asset checks, one module per layer: what has to hold for a batch to be trusted.

A check is a question to the core and the answer as a result; ERROR and blocking for a broken
batch, WARN for rates.
"""
