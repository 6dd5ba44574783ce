"""What lies between water and file: sky, cloud and haze; the camera."""
