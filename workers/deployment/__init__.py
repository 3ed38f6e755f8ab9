"""A deployment of the catalog as its users see it: on this machine, or behind a server."""
