"""What makes data that the package holds. Not part of it."""
