"""Mutated files for all readers of files; each reader runs in a process with little memory."""
