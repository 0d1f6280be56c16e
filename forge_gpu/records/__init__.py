"""What people's records look like: shapes as data, paths into a record, converters."""
