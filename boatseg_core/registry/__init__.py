"""Governance of models: register, promote or refuse, roll back, look up, load.

``lookup`` never imports mlflow, so that the service does not need it; the other modules import it
inside their functions.
"""
