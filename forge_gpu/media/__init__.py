"""What records refer to besides texts: images, sound and videos."""
