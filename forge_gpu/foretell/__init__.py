"""What a job will take, before it runs: see docs/estimate.md."""
