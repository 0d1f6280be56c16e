"""The plan, `forge.yaml`: its schema, and reading, checking, correcting, migrating and writing it.

Here: keys, the rules between keys (`rules`), whether a key changes bytes (`schema`). Not here: choosing
values, which the planner does, and acting on them.
"""
