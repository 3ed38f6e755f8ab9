"""What the ingest benchmark compares: each arm is a program of its own that prints one JSON object."""
