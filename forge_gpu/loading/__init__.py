"""Prepared tokens as training code reads them: mapped files, one order for all ranks, batches."""
