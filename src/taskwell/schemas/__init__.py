"""The input and output types of operations."""
