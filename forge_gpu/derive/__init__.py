"""What is made of prepared folders alone: other packs (`repack`), mixtures (`mix`).

Here: work that needs no source data and no tokenizer. Not here: reading prepared tokens for training, which
is `loading`.
"""
