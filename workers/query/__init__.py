"""The query side: one use case for the command line, the library and every server."""
