"""One HTML file with what was run, the tables, the curves and the samples."""
