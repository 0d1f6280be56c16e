"""Prepared tokens for training code: mapped files, one order for all ranks, batches, tensors.

Here: reading what a job has written, without Forge's other rooms at training time. Not here: making
anything; only `torch_rows` imports PyTorch.
"""
