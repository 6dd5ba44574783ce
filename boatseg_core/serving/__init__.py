"""Predictions over HTTP from the registered ONNX model.

The serving process imports neither torch nor mlflow; a test holds it to that.
"""
