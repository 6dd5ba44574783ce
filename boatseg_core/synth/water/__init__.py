"""The sea: open water, and the wakes and spray boats leave on it."""
