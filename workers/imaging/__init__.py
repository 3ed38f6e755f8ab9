"""Encoded image bytes to the network's input: the one implementation that training and serving share."""
