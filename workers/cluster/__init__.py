"""A complete cluster on one machine, from wheels, without Docker and without root: for development, tests and demos.

Production is `deploy/`.
"""
