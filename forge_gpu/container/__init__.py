"""A job in a container: the engine, the image, mounts, rights, the protocol, and what its end means.

Here: what the host does (`run`) and what runs inside (`inside`). Not here: anything of the job itself, which
does not know that it is in a container.
"""
