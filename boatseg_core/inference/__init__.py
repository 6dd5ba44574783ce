"""From image bytes to objects: the ONNX predictor that batch, SQL and REST share.

Nothing here imports torch or mlflow; the service is built on this room.
"""
