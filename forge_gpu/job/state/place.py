"""Names of the folders in which a job leaves what is its own."""

from __future__ import annotations

FOLDER = ".forge"
"""In an output folder: the checkpoint, and what is told of the job."""
STAGING = ".forge-upload"
"""In the folder in hand: where output for a URL is made."""
