"""Readers of data sets. Each gives the same `Record`, so that nothing behind it knows where an image came from."""
