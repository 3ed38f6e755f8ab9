"""The web applications. Start reading in `events`."""
