"""The parts that `training.model` puts together: trunks, heads, and what they start from."""
