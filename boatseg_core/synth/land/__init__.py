"""What is not water: shores, islets and shoals; harbours, buoys and fish farms."""
