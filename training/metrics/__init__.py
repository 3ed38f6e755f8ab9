"""What is measured: pure functions from predictions and truth to figures, each with its bootstrap interval."""
