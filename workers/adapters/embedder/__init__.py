"""Engines that run a model bundle."""
