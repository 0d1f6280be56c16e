"""What people's records look like: conventions (YAML), paths into a record, converters.

Here: from a record to the record that `data.mapping` reads. Not here: from there to a conversation, which is
`templates.shapes`.
"""
