"""Everything that speaks to the world outside: one package or module a port. Only `workers.bootstrap` constructs them."""
