"""From texts to ids: tokenizers behind one seam, and what a `tokenizer.json` says.

Here: who encodes, where libraries differ, the probes that compare them. Not here: which tokens are trained
or cut, which the job decides.
"""
