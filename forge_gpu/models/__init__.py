"""Models as data: the registry (YAML), model folders and GGUF files, the choice by goal and memory.

Here: what is read of a model without running any of it. Not here: rendering its template (`templates`) and
encoding with its tokenizer (`tokens`).
"""
