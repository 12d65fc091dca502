"""Score the samples of each run, and collect the scores of all runs in tables."""
