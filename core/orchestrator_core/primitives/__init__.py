"""Data structures without threads and without I/O of their own."""
