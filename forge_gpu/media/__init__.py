"""What records refer to besides texts: images, sound and videos.

Here: the marks and parts that name a file (YAML), where it lies, what its header says, its place in the
output. Not here: decoding, and fetching URLs, which Forge never does.
"""
