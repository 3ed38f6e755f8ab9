"""Programs that measure us beside a named alternative, in one run on the same images, weights and servers.

Each is a module to run (`python -m benchmarks.engine`), prints text or `--json`, and says on which machine it ran.
Not part of the installed package.
"""
