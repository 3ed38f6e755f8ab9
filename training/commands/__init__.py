"""The commands of `python -m training`, a module each; `training/__main__.py` registers them."""
